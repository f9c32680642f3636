"""Which sentences may hold a name: a model is slow, and most sentences can be seen to hold none."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
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
    Regular Large Small High Low Long Short New Old Best Better Basic Main Final Full Possible Potential Additional
    """.split()  # noqa: SIM905 - words read better than a list of strings
)  # fmt: skip


def may_hold_name(sentence: str) -> bool:
    """Whether some word is written as a name may be: with a capital, but for words that just begin a sentence.

    Letters of scripts without capitals may always be a name's.
    """
    if _CAPITAL_OR_CASELESS.search(sentence) is None:
        return False
    for match in _WORD.finditer(sentence):
        word = match[0]
        if not word[0].islower() and word.replace("\u2019", "'") not in NO_NAMES:
            return True
    return False
