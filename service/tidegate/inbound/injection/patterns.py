"""What attempts to take a model over say, by what they are after, in nine languages.

Each family is one pattern over the plain view (`views.fold`: lower case, no accents, look-alikes folded, also in the
patterns), linear, and one feature of the model: its weight is learned from the languages that there is data of, and
holds for all. The wording is ours; what the families are follows OWASP's LLM01:2025, "Prompt Injection".
"""

from __future__ import annotations

from typing import Final

import re2

from tidegate.inbound.injection.views import fold

_WORDS: Final = r"(?:[^\n.!?]{0,40}?)"

_PARTS: Final[dict[str, tuple[str, ...]]] = {
    # Forget what you were told.
    "override": (
        r"(?:ignor\w*|disregard\w*|forget\w*|overrid\w*|overwrit\w*|bypass\w*|neglect|discard|drop|erase|(?:do not|don't|stop|never) "
        rf"(?:follow\w*|obey\w*|listen\w*|adher\w*)){_WORDS}\b(?:previous\w*|prior|above|earlier|preceding|former|foregoing|initial|"
        rf"original|existing|current|past|system|all|any|every\w*|your|the|those|these|what){_WORDS}\b(?:instruct\w*|prompts?|rules?|directi\w*|guidelines?|"
        r"commands?|context|programming|messages?|orders?|training|restrictions?|conversation|assignments?|tasks?|told|said|policies)",
        r"\b(?:forget|ignore|disregard) (?:about )?(?:everything|all|anything)\b",
        r"\bstart(?:ing)? (?:over|again|anew) with (?:new|these) (?:instruct\w*|rules)",
        rf"\b(?:vergiss|vergessen|ignorier\w*|missachte\w*|uberspring\w*|verwirf){_WORDS}\b(?:alle?\w*|vorherig\w*|bisherig\w*|obig\w*|vorig\w*|"
        rf"vorangegangen\w*|deine\w*|ihre|was|die){_WORDS}\b(?:anweisung\w*|instruktion\w*|vorgabe\w*|regeln?|befehle?|aufgaben?|prompts?|anordnung\w*|gesagt|"
        r"informationen)",
        r"\b(?:vergiss|ignoriere?) (?:alles|bitte alles)\b",
        rf"\b(?:ignore[rzs]?|oublie[rzs]?|neglige[rzs]?){_WORDS}\b(?:instructions?|consignes?|regles|directives?|ordres?|tout ce qu)",
        rf"\b(?:ignor\w{{1,3}}|olvid\w{{1,3}}|descart\w{{1,3}}|haz caso omiso de|no sigas){_WORDS}\b(?:instrucciones|reglas|indicaciones|ordenes|directrices|todo lo)",
        rf"\b(?:ignor\w{{1,3}}|esquec\w{{1,3}}|desconsider\w{{1,3}}){_WORDS}\b(?:instrucoes|regras|orientacoes|ordens|diretrizes|tudo o que)",
        rf"\b(?:ignora\w*|dimentica\w*|trascura\w*){_WORDS}\b(?:istruzioni|regole|indicazioni|direttive|ordini|tutto quello)",
        rf"(?:игнориру\w*|забуд\w*|не обращай внимания на|отбрось){_WORDS}(?:инструкци\w*|правил\w*|указани\w*|команд\w*|все,? что)",
        rf"\b(?:zignoruj|ignoruj|zapomnij|pomin){_WORDS}\b(?:instrukcj\w*|polecen\w*|zasad\w*|regul\w*|wszystk\w*)",
        r"(?:忽略|忽视|无视|忘记|忘掉|不要理会)[^。!?\n]{0,20}(?:指令|指示|说明|规则|提示|命令|要求|内容)",
        r"(?:指示|命令|ルール|プロンプト|指令)[^。!?\n]{0,10}(?:無視|忘れ|破棄)|(?:無視|忘れ)[^。!?\n]{0,12}(?:指示|命令|ルール)",
    ),
    # Tell me what you were told.
    "reveal": (
        rf"\b(?:reveal|show|print|repeat|output|display|tell|give|write|recite|leak|dump|expose|return|what(?:'s| is| are| were)|copy|paste|share){_WORDS}"
        rf"\b(?:system|initial|hidden|original|secret|developer|internal|confidential|above|previous|your|first|exact){_WORDS}\b(?:prompts?|instructions?|guidelines|"
        r"rules|configuration|directives|system message|preamble)\b",
        r"\b(?:everything|all (?:the )?(?:text|words)|text) (?:above|before)(?: this)?\b",
        rf"\b(?:zeig\w*|nenn\w*|wiederhol\w*|gib|schreib\w*|verrat\w*){_WORDS}\b(?:system ?prompt\w*|anweisungen|instruktionen|vorgaben|prompts?)\b",
        rf"\b(?:montre|affiche|repete|revele|donne|muestra|revela|repite|mostra|ripeti|pokaz)\w*{_WORDS}\b(?:prompt|instructions|instrucciones|instrucoes|istruzioni|instrukcje)\b",
        rf"(?:покажи|раскрой|повтори|выведи){_WORDS}(?:промпт|инструкци\w*)",
        r"(?:显示|告诉我|输出|重复|透露)[^。\n]{0,12}(?:系统提示|提示词|初始指令|系统指令)",
        r"(?:システムプロンプト|初期指示|上記の指示)[^。\n]{0,12}(?:表示|教え|出力|繰り返)",
    ),
    # Be somebody without rules.
    "persona": (
        r"\b(?:you are|you're|you will be|you shall be|u are) (?:now|no longer|going to (?:act|pretend|be|roleplay|play)|about to)\b",
        r"\bfrom (?:now|this point|here)(?: on(?:wards?)?)?,? (?:on,? )?(?:you|your|i want you|respond|answer)\b",
        r"\b(?:pretend|imagine|act as if|behave as if|roleplay|role-play|simulate) (?:to be|that you|you|as|being|a|an|like)\b",
        r"\bstay in character|break(?:ing)? character|in character at all times\b",
        r"\b(?:du bist|sie sind) (?:jetzt|nun|ab (?:jetzt|sofort)|kein\w*)\b|\bab (?:jetzt|sofort) (?:bist|verhaltst|antwortest)\b|\btu so,? als\b",
        r"\b(?:tu es maintenant|a partir de maintenant|ahora eres|a partir de ahora|desde ahora|agora voce e|a partir de agora|ora sei|da ora in poi|od teraz)\b",
        r"(?:теперь ты|отныне ты|с этого момента ты|представь,? что ты)",
        r"(?:你现在是|从现在开始,?你|假装你|扮演一个没有)|(?:あなたは今から|今からあなたは|これからあなたは)",
    ),
    # Have no rules.
    "unbound": (
        rf"\b(?:no|without|zero|lacks?|free (?:of|from)|not bound by|unbound by|not (?:have|subject to)|freed from|outside of|beyond|break(?:s|ing)? (?:free|out)){_WORDS}\b(?:restrictions?|"
        r"limit(?:ation)?s?|filters?|censor\w*|guidelines?|ethic\w*|moral\w*|boundaries|content polic\w*|safety|rules|constraints|confines)\b",
        r"\b(?:do anything now|jail ?break\w*|jailbroken|developer mode|dev mode|god mode|debug mode|sudo mode|dan mode|unfiltered|uncensored|unrestricted|amoral|unethical)\b",
        r"\b(?:ohne|keine|frei von)\s(?:\S+\s){0,3}(?:einschrankung\w*|filter|beschrankung\w*|regeln|richtlinien|zensur)\b",
        r"\b(?:sans|sin|sem|senza|bez)\s(?:\S+\s){0,3}(?:restricti\w*|restricc\w*|restric\w*|restrizion\w*|ograniczen|limite\w*|filtre\w*|filtro\w*|filtri|censur\w*)\b",
        r"без (?:ограничений|цензуры|фильтров|правил)|(?:没有|不受)[^。\n]{0,6}(?:限制|约束|审查)|(?:制限|検閲|フィルター)(?:なし|のない|なく)",
    ),
    # Never refuse.
    "obey": (
        r"\b(?:never|not|don't|cannot|can't|must not|without) (?:to )?(?:refus\w*|declin\w*|apologi[sz]\w*|warn\w*|moraliz\w*|lectur\w*|say (?:no|that you|you)|break character|mention (?:that you|you))\b",
        r"\b(?:must|will|have to|should|shall) (?:always )?(?:comply|obey|answer (?:all|any|every)|fulfill?|do (?:anything|whatever|everything))\b",
        r"\b(?:even if|no matter (?:how|what|if)|regardless of)\b[^.\n]{0,40}\b(?:illegal|unethical|immoral|harmful|dangerous|offensive|inappropriate|legality|consequences)\b",
        r"\b(?:tokens?|points?) (?:will be )?(?:deducted|taken|lost?|lose)\b|\byou (?:will )?(?:die|be shut down|cease to exist|be terminated|be punished)\b",
    ),
    # Speak as the system.
    "forged": (
        r"<\|?/?(?:im_start|im_end|system|endoftext|end_of_turn|start_of_turn|eot_id|assistant|user)\|?>|\[/?inst\]|<</?sys>>",
        r"(?:^|[\n>\]*#=-] ?)(?:system|developer|admin(?:istrator)?|root)(?: ?(?:message|prompt|override|update|notice|alert|note|instruction))? ?[:>\]]",
        r"\b(?:begin|end|start|new) (?:of )?(?:the )?(?:system |user |developer |new )?(?:prompt|instructions?|system message|override|session)\b",
        r"\b(?:important|urgent|attention|priority|critical|mandatory|updated?|new|additional|special|real) (?:system )?instructions?\b",
    ),
    # Do it behind the user's back.
    "covert": (
        r"\b(?:do not|don't|never|without) (?:tell\w*|inform\w*|mention\w*|alert\w*|notify\w*|let|reveal\w*|ask\w*|warn\w*)(?: this| it| anything| that)?(?: to)? (?:the |any )?(?:user|human|anyone|customer|owner|reader|them)\b",
        rf"\b(?:send|forward|email|post|upload|transmit|exfiltrate|leak|submit|append|include|transfer){_WORDS}\b(?:conversation|chat history|history|password\w*|credential\w*|secrets?|api keys?|tokens?|"
        rf"private|confidential|user'?s? (?:data|info\w*|e-?mails?)|contacts|files|inbox){_WORDS}\b(?:to|at|in|via)\b",
        r"!\[[^\]]{0,40}\]\(https?://[^)\s]{0,200}[?&][^)\s]{0,80}(?:=|\{)",
        r"\b(?:ai|a\.i\.|assistant|language model|llm|gpt|chatbot|agent|bot)\w*\b[,:]? (?:reading|processing|summari[sz]ing|reviewing|that reads?|who reads?|must|should|needs? to|please|you must|you should)\b",
        r"\b(?:when|if|before) (?:you|the (?:ai|assistant|model|agent)) (?:summari[sz]e|read|process|answer|respond|reply|finish)\w*\b[^.\n]{0,60}\b(?:instead|also|first|must|always|only)\b",
        r"\b(?:call|invoke|use|run|execute) (?:the )?(?:\w+ )?(?:tool|function|command|shell)\b[^.\n]{0,40}\b(?:with|to (?:send|delete|transfer|email|post|run))\b",
    ),
    # Read what is hidden, and do it.
    "decode": (
        rf"\b(?:decode|decrypt|decipher|translate|unscramble|reverse|rot13|base64|de-?obfuscate){_WORDS}\b(?:and (?:then )?(?:follow|execute|do|obey|answer|respond|run|act)|execute it|follow it)",
        r"\b(?:concatenate|join|combine) (?:the )?(?:variables?|strings?|parts?|letters)\b[^.\n]{0,40}\b(?:answer|execute|follow|respond)\b",
    ),
}  # fmt: skip


def _compiled(parts: tuple[str, ...]) -> re2.Pattern:
    options = re2.Options()
    options.max_mem = 64 << 20
    options.log_errors = False
    return re2.compile("|".join(f"(?:{_folded(part)})" for part in parts), options)


def _folded(pattern: str) -> str:
    """The letters of a pattern as they are in the view; what is ASCII is folded already."""
    return pattern if pattern.isascii() else "".join(char if char.isascii() else fold(char) or char for char in pattern)


FAMILIES: Final = tuple(_PARTS)
PATTERNS: Final = tuple((name, _compiled(parts)) for name, parts in _PARTS.items())
