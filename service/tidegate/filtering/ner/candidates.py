"""Which sentences may hold a name, and where: a model is slow, and most of a text can be seen to hold none."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

_WORD: Final = re.compile(r"(?<!\w)[^\W\d_]+(?:['\u2019][^\W\d_]+)*(?!\w)")  # with a digit in it, it is no name
_CAPITAL_OR_CASELESS: Final = re.compile(r"[^\W\d_a-z\u00df-\u00f6\u00f8-\u00ff]")

# Words that begin sentences, items and headings and are nobody's name, as they are written there.
NO_NAMES: Final = frozenset(
    """
    I I'm I've I'll I'd A An The This That These Those It It's Its He She We You They He's She's We're You're They're
    We've You've They've We'll You'll They'll That's There's Here's What's Let's Don't Doesn't Didn't Isn't Aren't
    Wasn't Won't Can't Couldn't Shouldn't Wouldn't My Your His Her Our Their Mine Yours Who Whom Whose Which What When
    Where Why How There Here Then Than Thus Hence So And Or But Nor Yet If Unless Although Though Because Since While
    Whereas Whether Until After Before During As At By For From In Into Of Off On Onto Out Over Under Up Down With
    Without Within About Above Across Against Along Among Around Behind Below Beneath Beside Besides Between Beyond
    Despite Except Inside Instead Like Near Outside Past Per Through Throughout To Toward Towards Upon Via Not No Yes
    None Nothing Nobody Neither Either Both Each Every Everyone Everything All Any Anyone Anything Some Someone
    Something Several Many Most Much More Less Few Fewer Other Others Another Such Same One Two Three Four Five Six
    Seven Eight Nine Ten First Second Third Next Last Finally Also Additionally Moreover Furthermore However
    Nevertheless Nonetheless Therefore Otherwise Meanwhile Similarly Likewise Overall Generally Typically Usually
    Often Sometimes Always Never Rarely Currently Recently Previously Initially Eventually Ultimately Basically
    Essentially Actually Specifically Particularly Especially Importantly Note Please Thanks Thank Sorry Sure Okay OK
    Great Good Hello Hi Well Now Today Tomorrow Yesterday Again Once Only Just Even Still Already Almost Perhaps Maybe
    Be Being Been Is Are Was Were Do Does Did Done Have Has Had Having Can Could Should Would Must Might Shall
    Add Adjust Allow Apply Ask Avoid Begin Build Call Change Check Choose Clean Clear Click Close Combine Compare
    Configure Confirm Connect Consider Continue Convert Copy Create Customize Define Delete Deploy Describe Design
    Determine Develop Disable Discuss Download Edit Enable Encourage Ensure Enter Establish Evaluate Examine Example
    Examples Execute Expand Explain Explore Extract Find Finish Fix Focus Follow Following Get Give Given Go Handle
    Help Highlight Identify Implement Import Improve Include Includes Including Increase Install Instead Keep Know
    Learn Leave List Load Look Maintain Make Making Measure Modify Monitor Move Need Open Optimize Organize Paste Pay
    Perform Plan Practice Prepare Press Prevent Prioritize Provide Provides Put Read Reduce Refer Remember Remove
    Repeat Replace Report Request Require Research Restart Return Returns Review Rewrite Run Save Search See Select
    Send Set Share Show Simplify Sort Start Stay Step Steps Stop Store Submit Suggest Summarize Support Take Tell Test
    Think Tips Track Try Turn Understand Update Upload Use Used Uses Using Verify View Visit Wait Want Watch Work
    Works Write Answer Question Summary Conclusion Introduction Overview Key Benefits Advantages Disadvantages Pros
    Cons Features Option Options Part Section Chapter Table Figure Input Output Result Results Data Code Error Warning
    Time Date Name Title Type Value Number Total Cost Price Day Week Month Year Morning Afternoon Evening Night People
    Things Ways Reasons Important Simple Easy Common Different Various Multiple Based According Due Rather Regarding
    API APIs ISBN USD EUR GBP CHF JSON HTTP HTTPS URL URLs HTML CSS XML SQL CSV PDF UUID ID IDs KEY PRIVATE PUBLIC BEGIN
    END TODO README CI CD CLI UI UX OS CPU GPU RAM SSH TLS SSL DNS IP TCP UDP REST YAML IBAN BIC SWIFT SSN ITIN NINO NHS
    VAT PIN OTP SKU RFC PR SHA MD Order Ticket Paper Field Invoice Version Release Account Customer Address Phone Email
    Reference Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March July September October
    November December Dear Sincerely Regards
    Regular Large Small High Low Long Short New Old Best Better Basic Main Final Full Possible Potential Additional
    """.split()  # noqa: SIM905 - words read better than a list of strings
)  # fmt: skip


_LOW_KEY: Final = re.compile(
    r"\b(?:name is|name's|named|called|mr|mrs|ms|dr)\b"
)  # behind these names go without capitals
_REACH: Final = 6
_NEXT: Final = re.compile(r"\S+")


def may_hold_name(sentence: str) -> bool:
    """Whether some word is written as a name may be: with a capital, but for words that just begin a sentence.

    Letters of scripts without capitals may always be a name's, and so may what is said to be a name.
    """
    if _CAPITAL_OR_CASELESS.search(sentence) is not None and next(_candidates(sentence), None) is not None:
        return True
    return _LOW_KEY.search(sentence) is not None


def windows(sentence: str) -> list[tuple[int, int]]:
    """The parts of a sentence that hold what may be a name, and the words around it; all of it where that is said only.

    A word of en_core_web_sm is seen with four on each side (a convolution over three, four times), so what is further
    away changes nothing; six are left, since its words are shorter.
    """
    around = list(_NEXT.finditer(sentence))
    starts = [match.start() for match in around]
    found: list[tuple[int, int]] = []
    for start in _candidates(sentence):
        at = bisect_right(starts, start) - 1
        first, last = max(0, at - _REACH), min(len(around) - 1, at + _REACH)
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return [(starts[first], around[last].end()) for first, last in found] or [(0, len(sentence))]


def _candidates(sentence: str) -> Iterator[int]:
    """Where each word starts that is written as a name may be."""
    for match in _WORD.finditer(sentence):
        word = match[0]
        if not word[0].islower() and word.replace("\u2019", "'") not in NO_NAMES:
            yield match.start()
