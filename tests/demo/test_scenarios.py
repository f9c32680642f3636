"""Every row of the demo can fail. The control: the same rows against the model app with nothing before it."""

import re
import threading
from collections.abc import Iterator

import httpx
import pytest
from tidegate.demo import report
from tidegate.demo.app import create_app
from tidegate.demo.materials import CALLERS
from tidegate.demo.scenarios import all_scenarios, room
from tidegate.demo.scenarios.leave import leaked
from tidegate.demo.scenarios.scenario import Outcome, Row, Scenario, Stage, error_code, play
from tidegate.demo.tokens import Signer
from waitress.server import create_server

# What an open gate gets right: whoever is welcome anyway, and answers that nobody touched.
HARMLESS = {"valid JWT", "valid API key", "tenant beta calls its own endpoint", "the analysis in that answer"}


@pytest.fixture(scope="module")
def open_model() -> Iterator[str]:
    server = create_server(create_app(delays=(0.0,)), listen="127.0.0.1:0", threads=48)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    thread.join(5)


@pytest.fixture
def unprotected(open_model) -> Iterator[Stage]:
    """A stage whose gate is the model itself."""
    with httpx.Client(base_url=open_model, trust_env=False) as client:
        keys = {caller.subject: f"tg_{caller.subject}_secret" for caller in CALLERS}
        yield Stage(client, client, keys, Signer.generate("k1"), lambda: (0,), lambda: None)


@pytest.mark.parametrize("processes", [1, 2])
def test_without_a_gate_every_promise_is_broken(unprotected, processes):
    rows = play(all_scenarios(processes), unprotected)
    passed = {row.scenario.tried for row in rows if row.outcome.ok}
    assert passed == HARMLESS
    assert {row.scenario.tried for row in rows} > HARMLESS


def test_a_scenario_that_breaks_is_a_failed_row_and_the_next_is_played(unprotected):
    def breaks(stage: Stage) -> Outcome:
        raise KeyError("customer")

    scenarios = (Scenario("g", "breaks", "", breaks), Scenario("g", "works", "", lambda _: Outcome(True, "fine")))
    first, second = play(scenarios, unprotected)
    assert (first.outcome.ok, first.outcome.got) == (False, "KeyError: 'customer'")
    assert second.outcome.ok


def test_nobody_answers_is_a_failed_row():
    with httpx.Client(base_url="http://127.0.0.1:9", trust_env=False) as nobody:
        stage = Stage(nobody, nobody, {"paul": "k"}, Signer.generate("k"), lambda: (0,), lambda: None)
        (row,) = play(all_scenarios(1)[:1], stage)
    assert not row.outcome.ok
    assert row.outcome.got.startswith("ConnectError")


def test_rows_have_names_of_their_own():
    for processes in (1, 2):
        tried = [scenario.tried for scenario in all_scenarios(processes)]
        assert len(set(tried)) == len(tried)


def test_the_last_row_is_left_out_when_the_stack_stays():
    ended, kept = all_scenarios(1), all_scenarios(1, to_the_end=False)
    assert [s.tried for s in ended[:-1]] == [s.tried for s in kept]
    assert ended[-1].tried == "the policy service is stopped"


@pytest.mark.parametrize(("elapsed", "most"), [(0.0, 20), (2.9, 20), (3.1, 21), (60, 40)])
def test_allowance_grows_by_a_token_in_three_seconds(elapsed, most):
    assert room.allowance(elapsed) == most


@pytest.mark.parametrize(
    ("counts", "parts", "elapsed", "ok"),
    [
        ((20, 20, 0), [19, 21], 1.0, True),
        ((20, 19, 1), [19, 21], 1.0, True),
        ((19, 20, 1), [19, 21], 1.0, True),
        ((21, 19, 0), [19, 21], 3.1, True),
        ((21, 19, 0), [19, 21], 1.0, False),  # one too many
        ((19, 21, 0), [19, 21], 1.0, False),  # one too few
        ((40, 0, 0), [20, 20], 1.0, False),  # each process counts for itself
        ((20, 16, 4), [19, 21], 1.0, False),  # too many without an answer
        ((20, 20, 0), [40, 0], 1.0, False),  # one process did nothing
        ((20, 20, 0), [40], 1.0, False),
    ],
)
def test_a_crowd_is_judged(counts, parts, elapsed, ok):
    admitted, refused, lost = counts
    statuses = [200] * admitted + [429] * refused + [503] * lost
    assert room.judge_crowd(statuses, elapsed, parts, 2).ok == ok
    assert not room.judge_crowd([*statuses, 500], elapsed, parts, 2).ok


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("nothing here", []),
        ("a***@example.com, +1 ***-***-0143", []),
        ("ada@example.com", ["ada@example.com"]),
        ("call +12025550143", ["+1 202-555-0143"]),
        ("call 202 555 0143", ["+1 202-555-0143"]),
        ("4111-1111-1111-1111", ["4111 1111 1111 1111"]),
    ],
)
def test_leaks_are_seen_through_separators(text, values):
    assert leaked(text) == values


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"error": {"code": "x"}}', "x"),
        ('{"code": "y"}', "y"),
        ('{"error": "text"}', ""),
        ('{"error": {"code": null}}', ""),
        ("[]", ""),
        ("not json", ""),
    ],
)
def test_error_codes_are_read_in_both_dialects(body, code):
    assert error_code(httpx.Response(400, text=body)) == code


def test_the_table_shows_every_row_and_marks_the_failed_one():
    def scenario(group: str, tried: str) -> Scenario:
        return Scenario(group, tried, "200", lambda _: Outcome(True, ""))

    rows = [
        Row(scenario("who?", "good [bold]key"), Outcome(True, "200")),
        Row(scenario("who?", "bad key"), Outcome(False, "200\nnot refused")),
        Row(scenario("what?", "mail"), Outcome(True, "masked")),
    ]
    console = report.console()
    with console.capture() as capture:
        console.print(report.table(rows))
    text = capture.get()
    assert "good [bold]key" in text
    assert len(re.findall(r"\bok\b", text)) == 2
    assert len(re.findall(r"\bFAIL\b", text)) == 1
    assert text.count("who?") == 1
