"""Whether new images are told from those that a classifier learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from engine.bundle.familiarity import Familiarity, suits, unusual_note
from engine.contract.commands import Export, Predict
from tests.helpers.tiny_study import make_study, run_job, small_config, train

_RANDOM = np.random.default_rng(0)
_MIXING = _RANDOM.normal(size=(8, 60))


def _like(n: int) -> np.ndarray:
    noise = _RANDOM.normal(size=(n, 60))
    return (_RANDOM.normal(size=(n, 8)) @ _MIXING + noise).astype(np.float32)


def test_images_of_the_same_kind_are_unusual_as_often_as_stated():
    familiar = Familiarity.fit(_like(2000), _like(1000))
    assert familiar is not None
    shares = familiar.unusual(_like(4000))
    for level in (0.5, 0.9, 0.95):
        assert (shares > level).mean() == pytest.approx(1 - level, abs=0.03)
    assert suits(shares)


def test_images_of_another_kind_are_all_unusual():
    familiar = Familiarity.fit(_like(2000), _like(1000))
    assert familiar is not None
    other = _RANDOM.normal(size=(200, 60)).astype(np.float32) * 6
    assert familiar.unusual(other).min() > 0.99
    assert not suits(familiar.unusual(other))


def test_distances_are_those_of_the_gaussian_of_probabilistic_pca():
    train = _like(500)
    familiar = Familiarity.fit(train, _like(100))
    assert familiar is not None
    scaled = (train - familiar.mean) / familiar.scale
    pca = PCA(32, svd_solver="full").fit(scaled)
    new = _like(20)
    z = (new - familiar.mean) / familiar.scale
    covariance = pca.get_covariance()
    log_density = multivariate_normal(np.zeros(60), covariance).logpdf(z)
    constant = 60 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1]
    np.testing.assert_allclose(familiar.distance(new), -2 * log_density - constant, rtol=0.05)


def test_too_few_images_tell_nothing():
    assert Familiarity.fit(_like(19), _like(100)) is None
    assert Familiarity.fit(_like(100), _like(19)) is None


def test_what_was_saved_is_what_is_read():
    familiar = Familiarity.fit(_like(100), _like(30))
    assert familiar is not None
    read = Familiarity.from_tensors(familiar.tensors(), 60)
    new = _like(5)
    np.testing.assert_array_equal(read.unusual(new), familiar.unusual(new))
    with pytest.raises(ValueError, match="features"):
        Familiarity.from_tensors(familiar.tensors(), 61)


@pytest.mark.parametrize(
    ("n_far", "n", "says"),
    [(1, 20, "suit it"), (6, 20, "more than the 5 %"), (18, 20, "come from elsewhere")],
)
def test_the_sentence_follows_the_share(n_far: int, n: int, says: str):
    shares = np.array([1.0] * n_far + [0.3] * (n - n_far))
    assert says in unusual_note(shares)
    assert suits(shares) is (says == "suit it")


def test_a_bundle_says_which_images_are_unlike_its_own(tmp_path: Path):
    study = make_study(tmp_path / "study", n_patients=90)
    finished, _ = train(study, small_config("linear_probe"))
    bundle = tmp_path / "bundle"
    run_job(Export(project=str(study), run=finished.run, out=str(bundle)))
    own = run_job(
        Predict(bundle=str(bundle), source=str(study.parent / "images"), out=str(tmp_path / "1"))
    )
    assert len(own["notes"]) == 1
    assert not own["warnings"]
    strange = tmp_path / "strange"
    strange.mkdir()
    for k in range(12):
        noise = np.random.default_rng(k).integers(0, 255, (80, 80), dtype=np.uint8)
        Image.fromarray(noise).save(strange / f"{k}.png")
    other = run_job(Predict(bundle=str(bundle), source=str(strange), out=str(tmp_path / "2.csv")))
    assert "come from elsewhere" in other["warnings"][0]
    assert sum(row["unusual"] > 0.95 for row in other["rows"]) > len(other["rows"]) / 2
    head = (tmp_path / "2.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head.endswith(",unusual_percent")
