"""Names of files and folders that look like names, numbers or birth dates of people.

Only the shape of a name is looked at, and only conservatively: class folders, counters and the
words of the trade must not be taken for people. No name is repeated in what is found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.audit.study import Study
from engine.audit.words import key_of
from engine.contract.records import Finding
from engine.data.phrases import count_of, verb

KIND: Final = "identifying_names"
_UID: Final = re.compile(r"\d+(?:\.\d+){5,}")
_NUMBER: Final = re.compile(r"(?<!\d)(?:\d{7,}|[1-9]\d{5})(?!\d)")
_DATE: Final = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[1-9]|[12]\d|3[01])([-_.])(?:0[1-9]|1[0-2])\2(?:19|20)\d\d)(?!\d)"
)
_CARET: Final = re.compile(r"[^\W\d_]{2,}\^[^\W\d_]")
_COMMA: Final = re.compile(r"[^\W\d_]{2,}, ?[^\W\d_]{2,}")
_TWO_WORDS: Final = re.compile(
    r"([A-Z][a-zà-ÿ'’]{2,}|[A-Z]{3,})[ _-]([A-Z][a-zà-ÿ'’]{2,}|[A-Z]{3,})(?:[ _-]*\d{0,4})"
)
_HAN: Final = re.compile(r"[一-鿿]{2,4}(?=\d{0,4}$|[ _-])")
_HAN_SURNAMES: Final = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭"
    "陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常張劉陳楊黃趙吳孫馬羅鄭許韓鄧馮蕭"
)
_TRADE: Final = frozenset(
    """
    abdomen abnormal acute adult and ankle aortic apical bacteria bacterial benign bone both
    bottom brain breast calcified cardiac cervical chest chronic class clean colon contrast
    control coronal covid cross data dataset diffuse disease dorsal edema effusion elbow exam
    examination failure femur finding findings follow foot fracture frontal full glass grade
    ground group hand head healthy heart high hip image images infection inferior kidney knee
    large lateral left lesion liver low lower lumbar lung lungs malignant mass medial mild
    moderate negative new no nodule non normal oedema of old opacity original other outer pelvis
    pleural pneumonia portable positive post pre prone pulmonary raw ray repeat right sagittal
    sample scan series severe shoulder side single slice small spine study supine test the thorax
    top train training tumor tumour ultrasound unknown up upper valid validation view viral virus
    with without wrist xray
    """.split()
)
_FEWEST_NAMES: Final = 3
_IMAGES_A_NAME: Final = 0.1


def find_identifying_names(study: Study) -> list[Finding]:
    """Find paths that may hold names, numbers or dates of people."""
    paths = study.facts.texts["path"]
    names = _looks_like_people(paths, {name.casefold() for name in study.class_names})
    others = (
        ("uid", _holds(paths, _UID.search), "DICOM UIDs", "lead back to the originals", "info"),
        ("date", _holds(paths, _dated), "dates", "may be dates of birth or of studies", "low"),
        (
            "number",
            _holds(paths, lambda text: _NUMBER.search(_UID.sub("", _DATE.sub("", text)))),
            "long numbers",
            "may be patient or accession numbers",
            "info",
        ),
    )
    findings = []
    if names.any():
        findings.append(
            _finding(study, "name", names, "what looks like names of people", "", "medium")
        )
    findings += [
        _finding(study, key, found, what, why, severity)
        for key, found, what, why, severity in others
        if found.any()
    ]
    return findings


def _finding(
    study: Study, key: str, found: NDArray[np.bool_], what: str, why: str, severity: str
) -> Finding:
    n = int(found.sum())
    because = f", which {why}" if why else ""
    return Finding(
        kind=KIND,
        key=f"{key}/{'' if n == len(study) else key_of(study.ids(found))}",
        severity=severity,
        n=n,
        sentence=f"The file or folder names of {count_of(n, 'image')} "
        f"{verb(n, 'holds')} {what}{because}.",
        advice="RadTune keeps paths in the project's database and in tables that you ask for, "
        "nowhere else; share neither with others, or rename the files.",
        records=() if n == len(study) else study.ids(found),
    )


def _holds(paths: Sequence[str], search: Callable[[str], object]) -> NDArray[np.bool_]:
    return np.array([search(path) is not None for path in paths], dtype=np.bool_)


def _dated(text: str) -> re.Match[str] | None:
    return _DATE.search(_UID.sub("", text))


def _looks_like_people(paths: Sequence[str], classes: set[str]) -> NDArray[np.bool_]:
    """Return which paths have a part that looks like a person's name.

    Names written as DICOM or an index does (``DOE^JANE``, ``Doe, Jane``) always count; two
    capitalised words, or a Chinese name, only if there are several and each stands for few images.
    """
    found = np.zeros(len(paths), dtype=np.bool_)
    spelled: list[list[str]] = []
    for i, path in enumerate(paths):
        *folders, file = path.split("/")
        parts = (*folders, file.rpartition(".")[0] or file)
        parts = tuple(part for part in parts if part.casefold() not in classes)
        found[i] = any(_CARET.search(part) or _COMMA.fullmatch(part) for part in parts)
        spelled.append([name for part in parts if (name := _person(part))])
    counts = Counter(name for names in spelled for name in set(names))
    if len(counts) >= _FEWEST_NAMES and max(counts.values()) <= max(
        10, _IMAGES_A_NAME * len(paths)
    ):
        found |= np.array([bool(names) for names in spelled], dtype=np.bool_)
    return found


def _person(part: str) -> str | None:
    """Return the name of a person that a part of a path seems to be, or None."""
    if match := _TWO_WORDS.fullmatch(part):
        words = [word.casefold() for word in match.groups()]
        return None if _TRADE & set(words) else " ".join(words)
    if (match := _HAN.match(part)) and match.group()[0] in _HAN_SURNAMES:
        return match.group()
    return None
