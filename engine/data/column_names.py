"""What columns of label sheets are called, in English, Chinese, German, French and Spanish."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

# First the names that can mean nothing else.
_PATH_NAMES: Final = (
    "path file_path filepath image_path img_path dicom_path filename file_name "
    "image_filename image_file image_name img_name file image_index image image_id img "
    "img_id dicom dicom_id image_uid sop_instance_uid sop_uid instance_uid dateiname datei bild "
    "fichier archivo "
    "路径 文件路径 图像路径 影像路径 文件名 图像文件 影像文件 文件 图像 影像 图片"
)
_LABEL_NAMES: Final = (
    "label labels class class_name classname category diagnosis diagnoses finding findings "
    "finding_labels finding_label target ground_truth groundtruth gt y disease pathology "
    "outcome diagnose befund diagnostic diagnostico "
    "标签 类别 分类 诊断 诊断结果 结论 病变 疾病 标注"
)
_PATIENT_NAMES: Final = (
    "patient_id patientid patient pid subject_id subjectid subject patient_number "
    "patient_no patient_key case_id caseid case mrn person_id participant_id patienten_id "
    "患者 患者id 患者_id 患者编号 患者号 病人 病人id 病人编号 受试者 受试者编号 病例号 病历号"
)
_SPLIT_NAMES: Final = (
    "split data_split dataset_split partition subset set dataset fold phase usage 划分 数据集 "
    "数据划分 集合 子集"
)
_STUDY_NAMES: Final = (
    "study_instance_uid study_uid study_id study exam_id exam examination_id accession_number "
    "accession accession_no series_instance_uid visit_id visit 检查号 检查编号 检查"
)
_DATE_NAMES: Final = (
    "study_date studydate exam_date examination_date acquisition_date scan_date image_date "
    "series_date visit_date date datum untersuchungsdatum fecha 检查日期 检查时间 拍摄日期 日期"
)
_SITE_NAMES: Final = (
    "site site_id hospital institution institution_name center centre clinic facility "
    "krankenhaus klinik hopital 医院 机构 中心 站点 院区"
)
_SCANNER_NAMES: Final = (
    "scanner scanner_model device device_model machine manufacturer_model_name "
    "manufacturer_model manufacturer scanner_vendor vendor geraet gerät 设备 设备型号 机型 扫描仪"
)
_SEX_NAMES: Final = "sex gender patient_sex patient_gender geschlecht sexe sexo 性别 患者性别"
_AGE_NAMES: Final = "age patient_age age_years age_at_study age_at_exam alter edad 年龄 患者年龄"
_VIEW_NAMES: Final = "view view_position viewposition projection ap_pa 体位 投照体位 投照位 视图"
_FRAME_NAMES: Final = "frame frame_index frame_number slice slice_index 帧 层 层面"
NAMES: Final[dict[str, str]] = {
    "path": _PATH_NAMES,
    "label": _LABEL_NAMES,
    "patient": _PATIENT_NAMES,
    "split": _SPLIT_NAMES,
    "study": _STUDY_NAMES,
    "date": _DATE_NAMES,
    "site": _SITE_NAMES,
    "scanner": _SCANNER_NAMES,
    "sex": _SEX_NAMES,
    "age": _AGE_NAMES,
    "view": _VIEW_NAMES,
    "frame": _FRAME_NAMES,
}
"""Roles of columns, as the fields of ``ColumnMapping``, and the names that tell them."""
ROLES: Final = tuple(NAMES)


def name_key(column: str) -> str:
    """Return a name in the form in which two spellings of it are equal.

    Case, accents' way of writing, blanks and ``_ . - /`` don't count.
    """
    text = unicodedata.normalize("NFKC", column).casefold().strip().strip("\ufeff")
    return re.sub(r"[\s._\-/]+", "", text)


def short_key(column: str) -> str:
    """Return :func:`name_key` without remarks: ``File name* (anonymised)`` is ``filename``."""
    text = unicodedata.normalize("NFKC", column)
    return name_key(re.sub(r"\([^)]*\)|\[[^\]]*\]|[*#:：?]", " ", text))


_KEYS: Final = {role: [name_key(name) for name in names.split()] for role, names in NAMES.items()}


def columns_by_role(columns: Sequence[str]) -> dict[str, str]:
    """Return the columns whose names tell their role; each column has one role at most."""
    by_key: dict[str, str] = {}
    for key_of in (name_key, short_key):
        for name in columns:
            by_key.setdefault(key_of(name), name)
    found: dict[str, str] = {}
    for role, keys in _KEYS.items():
        free = (by_key[key] for key in keys if key in by_key)
        if (column := next((c for c in free if c not in found.values()), None)) is not None:
            found[role] = column
    return found


def list_columns(columns: Sequence[str]) -> str:
    """Return column names for a sentence, the first dozen of them."""
    shown = ", ".join(columns[:12])
    return f"{shown} and {len(columns) - 12} more" if len(columns) > 12 else shown


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return column names of which none is empty ("Column 3") and none occurs twice."""
    found: list[str] = []
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        base, n = name or f"Column {position}", 2
        name = base
        while name in seen:
            name, n = f"{base} ({n})", n + 1
        seen.add(name)
        found.append(name)
    return tuple(found)
