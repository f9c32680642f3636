# ruff: noqa: E501 (a row of the table is a line here)
"""Numbers that states give to people and firms, by the structures that python-stdnum documents for them."""

from __future__ import annotations

from typing import Final

from tests.quality.issued.shapes import Kind, shaped, valid

NATIONAL: Final = (
    Kind("US_SSN", valid("us.ssn", "{d:3}-{d:2}-{d:4}", written=False), ("Social Security number", "SSN"), ("ssn",), bare=True),
    Kind("US_ITIN", valid("us.itin", "9{d:2}-{d:2}-{d:4}"), ("ITIN", "individual taxpayer number"), ("itin",)),
    Kind("US_EIN", valid("us.ein", "{d:2}-{d:7}", written=False), ("EIN", "employer identification number"), ("ein",)),
    Kind("US_PASSPORT", shaped("{d:9}", "{L:1}{d:8}"), ("passport number", "passport no."), ("passport_number",)),
    Kind(
        "US_DRIVER_LICENSE",
        shaped("{L:1}{d:7}", "{L:1}{d:12}", "{d:8}", "{d:9}", "{L:1}{d:3}-{d:4}-{d:4}"),  # CA, FL and MI, TX, NY, IL
        ("driver's license number", "driver license"),
        ("drivers_license", "driver_license_number"),
    ),
    Kind("ABA_ROUTING_NUMBER", valid("us.rtn", "0{d:8}", "{n:1}{d:8}"), ("routing number", "ABA number"), ("routing_number",)),
    Kind("US_BANK_NUMBER", shaped("{d:10}", "{d:12}", "{d:9}"), ("account number", "checking account number"), ("account_number",)),
    Kind("UK_NINO", shaped("AB{d:6}C", "JT {d:2} {d:2} {d:2} A", "SR{d:6}D", "PX {d:2} {d:2} {d:2} B"), ("National Insurance number", "NINO"), ("ni_number",), bare=True),
    Kind("UK_NHS", valid("gb.nhs", "{d:10}"), ("NHS number", "NHS no."), ("nhs_number",)),
    Kind(
        "EU_VAT",
        valid("eu.vat", "DE{n:1}{d:8}", "ATU{d:8}", "FR{d:2}{d:9}", "NL{d:9}B{d:2}", "IT{d:11}", "PL{d:10}", "BE0{d:9}", "DK{d:8}"),
        ("VAT number", "VAT ID", "USt-IdNr."),
        ("vat_id", "vat_number"),
    ),
    Kind("ES_NIF", valid("es.dni", "{d:8}{L:1}"), ("DNI", "NIF"), ("dni",)),
    Kind("ES_NIE", valid("es.nie", "X{d:7}{L:1}", "Y{d:7}{L:1}"), ("NIE",), ("nie",), bare=True),
    Kind("IT_FISCAL_CODE", valid("it.codicefiscale", "RSSMRA{yy}A{dd}H501{L:1}", "BNCLCU{yy}M{dd}F205{L:1}"), ("codice fiscale",), ("codice_fiscale",), bare=True),
    Kind("PL_PESEL", valid("pl.pesel", "{yymmdd}{d:5}"), ("PESEL", "PESEL number"), ("pesel",)),
    Kind("FR_NIR", valid("fr.nir", "1{yy}{mm}75{d:3}{d:3}{d:2}", "2{yy}{mm}69{d:3}{d:3}{d:2}"), ("num\u00e9ro de s\u00e9curit\u00e9 sociale", "NIR"), ("nir",)),
    Kind("DE_TAX_ID", valid("de.idnr", "{n:1}{d:10}"), ("Steuer-ID", "steuerliche Identifikationsnummer"), ("steuer_id",)),
    Kind("NL_BSN", valid("nl.bsn", "{d:9}"), ("BSN", "burgerservicenummer"), ("bsn",)),
    Kind("BE_NN", valid("be.nn", "{yymmdd}{d:5}"), ("rijksregisternummer", "num\u00e9ro de registre national"), ("rijksregisternummer",)),
    Kind("SE_PERSONNUMMER", valid("se.personnummer", "{yymmdd}-{d:4}", "{yyyymmdd}-{d:4}", written=False), ("personnummer",), ("personnummer",)),
    Kind("FI_PERSONAL_IDENTITY_CODE", valid("fi.hetu", "{ddmmyy}-{d:3}{A:1}"), ("henkil\u00f6tunnus", "personal identity code"), ("hetu",), bare=True),
    Kind("DK_CPR", valid("dk.cpr", "{ddmmyy}{d:4}"), ("CPR-nummer", "CPR number"), ("cpr",)),
    Kind("NO_FODSELSNUMMER", valid("no.fodselsnummer", "{ddmmyy}{d:5}"), ("f\u00f8dselsnummer",), ("fodselsnummer",)),
    Kind("PT_NIF", valid("pt.nif", "2{d:8}", "1{d:8}"), ("NIF", "n\u00famero de contribuinte"), ("nif",)),
    Kind("BR_CPF", valid("br.cpf", "{d:11}"), ("CPF",), ("cpf",)),
    Kind("IN_AADHAAR", valid("in_.aadhaar", "{n:1}{d:11}"), ("Aadhaar number", "Aadhaar"), ("aadhaar",)),
    Kind("IN_PAN", shaped("{L:3}P{L:1}{d:4}{L:1}", "{L:3}C{L:1}{d:4}{L:1}"), ("PAN", "permanent account number"), ("pan_number",)),
    Kind("CA_SIN", valid("ca.sin", "{n:1}{d:8}"), ("SIN", "social insurance number"), ("sin",)),
    Kind("AU_TFN", valid("au.tfn", "{d:9}"), ("TFN", "tax file number"), ("tfn",)),
    Kind("MX_CURP", valid("mx.curp", "PEGJ{yymmdd}HDFRNN0{d:1}", "LOMM{yymmdd}MJCPRR0{d:1}"), ("CURP",), ("curp",), bare=True),
    Kind("ZA_ID", valid("za.idnr", "{yymmdd}{d:4}08{d:1}", written=False), ("South African ID number", "RSA ID"), ("sa_id_number",)),
    Kind("KR_RRN", valid("kr.rrn", "{yymmdd}-1{d:6}", "{yymmdd}-2{d:6}"), ("resident registration number", "RRN"), ("rrn",)),
    Kind("CN_RESIDENT_ID", valid("cn.ric", "110105{yyyymmdd}{d:4}", "310101{yyyymmdd}{d:4}", written=False), ("resident ID", "ID card number"), ("resident_id",), bare=True),
    Kind("CH_AHV", valid("ch.ssn", "756{d:10}"), ("AHV-Nummer", "AVS number"), ("ahv",)),
    Kind("IE_PPS", valid("ie.pps", "{d:7}{L:1}", written=False), ("PPS number", "PPSN"), ("ppsn",)),
    Kind("TR_KIMLIK", valid("tr.tckimlik", "{n:1}{d:10}"), ("TC Kimlik No", "T.C. kimlik numaras\u0131"), ("tckn",)),
    Kind("JP_MY_NUMBER", valid("jp.in_", "{d:12}"), ("My Number", "individual number"), ("my_number",)),
    Kind("RO_CNP", valid("ro.cnp", "1{yymmdd}4{d:5}"), ("CNP", "cod numeric personal"), ("cnp",)),
    Kind("GR_AMKA", valid("gr.amka", "{ddmmyy}{d:5}"), ("AMKA", "\u0391\u039c\u039a\u0391"), ("amka",)),
    Kind("HR_OIB", valid("hr.oib", "{d:11}"), ("OIB",), ("oib",)),
    Kind("BG_EGN", valid("bg.egn", "{yymmdd}{d:4}"), ("EGN", "\u0415\u0413\u041d"), ("egn",)),
    Kind("SG_NRIC", lambda rng: _nric(f"{rng.randrange(10**7):07}", rng.choice("STFG")), ("NRIC", "NRIC number"), ("nric",), bare=True),
)  # fmt: skip


def _nric(digits: str, series: str) -> str:
    """With the check letter of its series, as the Immigration and Checkpoints Authority computes it."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, (2, 7, 6, 5, 4, 3, 2), strict=True))
    letters = "JZIHGFEDCBA" if series in "ST" else "XWUTRQPNMLK"
    return f"{series}{digits}{letters[(total + (4 if series in 'TG' else 0)) % 11]}"
