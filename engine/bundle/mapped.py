"""A bundle's classifier for another task: its classes matched to those of the task."""

from __future__ import annotations

from collections.abc import Sequence

from engine.bundle.read import Bundle
from engine.contract.errors import BundleError, ConfigError
from engine.contract.results import ClassMatch
from engine.models.merged_head import NOT_IN_TASK, merge_head
from engine.models.network import Network


def matched_groups(
    theirs: Sequence[str], own: Sequence[str], matches: Sequence[ClassMatch]
) -> tuple[int, ...]:
    """Return the own class of each of a bundle's classes, or ``NOT_IN_TASK``.

    Args:
        theirs: The bundle's classes.
        own: The classes of the task.
        matches: One for each of the bundle's classes that stands for one of the task.

    Raises:
        ConfigError: If a match names an unknown class or one of the bundle's twice, or a class of
            the task has no match.
    """
    groups = dict.fromkeys(theirs, NOT_IN_TASK)
    seen = set()
    for match in matches:
        if match.theirs not in groups or match.own not in own:
            name, where = (match.theirs, theirs) if match.theirs not in groups else (match.own, own)
            raise ConfigError(
                f"There is no class “{name}” to match.",
                remedy=f"Choose among: {', '.join(where)}.",
            )
        if match.theirs in seen:
            raise ConfigError(
                f"The classifier's class “{match.theirs}” is matched twice.",
                remedy="Match each of its classes once; several may stand for one of yours.",
            )
        seen.add(match.theirs)
        groups[match.theirs] = list(own).index(match.own)
    if missing := [name for k, name in enumerate(own) if k not in groups.values()]:
        raise ConfigError(
            f"No class of the classifier stands for “{missing[0]}”.",
            remedy=f"Match one of its classes, which are {', '.join(theirs)} (with --match "
            f"THEIRS={missing[0]} at the command line); leave that class out of the project; or "
            "use prototypes instead.",
        )
    return tuple(groups.values())


def mapped_network(bundle: Bundle, own: Sequence[str], matches: Sequence[ClassMatch]) -> Network:
    """Return the bundle's network with logits for the classes of the task.

    Raises:
        BundleError: If the bundle's weights don't fit the network that it names, it combines
            several networks, or it answers for several findings.
        ConfigError: As :func:`matched_groups`.
    """
    if bundle.facts.is_multi:
        raise BundleError(
            "This classifier answers for several findings, each by itself, and only classes of "
            "which an image has one can be matched.",
            remedy="Apply it to images on the Apply page, or choose another classifier.",
        )
    network = bundle.network()
    if not isinstance(network, Network):
        raise BundleError(
            "This classifier combines several networks, and only single ones can be matched.",
            remedy="Choose the bundle of one of its runs.",
        )
    merge_head(network, matched_groups(bundle.facts.classes, own, matches))
    return network
