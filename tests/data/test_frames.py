"""Columns of data frames and CSV files: their names, and what they must hold."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from arignote.data.readers import ArrayReader, Data, as_reader, read_data
from arignote.nnets.nets import NNClassifier, define_mlp

IRIS = load_iris(as_frame=True)
X, SPECIES = IRIS.data, IRIS.target_names[IRIS.target]


@pytest.fixture(autouse=True)
def _quick(quick):
    """Nothing here depends on C."""


def trained(features=X, labels=SPECIES, **given):
    return NNClassifier(define_mlp(3, [5]), rng=0).fit(features, labels, n_epochs=3, batch_size=30, **given)


def test_reordered_columns_are_put_right():
    classifier = trained(valid=0.2)
    assert classifier.feature_names_in_ == list(X.columns)
    expected = classifier.predict_proba(X)
    for given in (X[X.columns[::-1]], ArrayReader(X[X.columns[[2, 0, 3, 1]]]), X.to_numpy()):
        np.testing.assert_array_equal(classifier.predict_proba(given), expected)
    assert classifier.score(X[X.columns[::-1]], SPECIES) == classifier.score(X, SPECIES)


def test_columns_of_validation_data_are_put_right_too():
    expected = trained(valid=(X[::2], SPECIES[::2]), test=(X, SPECIES)).trainer.history
    turned = X[X.columns[::-1]]
    assert trained(valid=(turned[::2], SPECIES[::2]), test=(turned, SPECIES)).trainer.history == expected


def test_names_are_stored_and_checked_when_a_run_is_resumed():
    again = NNClassifier.from_state(trained().__getstate__())
    assert again.feature_names_in_ == list(X.columns)
    again.fit(X[X.columns[::-1]], SPECIES, n_epochs=4)
    straight = NNClassifier.from_state(trained().__getstate__()).fit(X, SPECIES, n_epochs=4)
    np.testing.assert_array_equal(again.predict_proba(X), straight.predict_proba(X))
    with pytest.raises(ValueError, match="training data: got a table without 'petal width .cm.'"):
        again.fit(X.drop(columns="petal width (cm)"), SPECIES, n_epochs=5)


GAPS = X.drop(index=3).reindex(X.index)
WRONG = {
    "missing": (X.drop(columns=X.columns[0]), "got a table without 'sepal length .cm.'; need the columns"),
    "new": (X.assign(color=1), "got a table with the other column 'color'"),
    "renamed": (X.rename(columns={X.columns[0]: "a"}), "without 'sepal length .cm.' and with the other column 'a'"),
    "twice": (pd.concat([X, X.iloc[:, :1]], axis=1), "with several of 'sepal length"),
    "text": (
        X.assign(**{X.columns[1]: "wide"}),
        "the column 'sepal width .cm.' has text, such as 'wide'; need numbers",
    ),
    "categories": (X.assign(**{X.columns[1]: pd.Categorical(SPECIES)}), "the column 'sepal width .cm.' has categories"),
    "times": (X.assign(**{X.columns[1]: pd.Timestamp("2020-01-01")}), "the column 'sepal width .cm.' has times"),
    "objects": (X.assign(**{X.columns[1]: [[]] * 150}), "the column 'sepal width .cm.' has objects"),
    "gaps": (GAPS, "the column 'sepal length .cm.' has 1 missing values.*try frame.fillna"),
    "gaps in numbers of pandas": (
        GAPS.astype("Float64"),
        "'sepal length .cm.' has 1 missing values",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_columns_that_do_not_fit_are_named(case):
    frame, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        trained().predict(frame)
    if case not in ("missing", "new", "renamed", "twice"):
        with pytest.raises(ValueError, match=message):
            trained(frame)


def test_truth_values_and_numbers_of_pandas_are_numbers():
    frame = X.assign(is_wide=X.iloc[:, 1] > 3).convert_dtypes()
    found = ArrayReader(frame)
    assert found.array.dtype == np.float64 and found.column_names[-1] == "is_wide"
    np.testing.assert_array_equal(found.array, np.column_stack([X, X.iloc[:, 1] > 3]))


@pytest.mark.parametrize(
    "names", [range(4), [1, 3, 5, "petal"], pd.MultiIndex.from_product([["sepal", "petal"], ["length", "width"]])]
)
def test_columns_are_matched_by_names_that_are_no_text(names):
    frame = pd.DataFrame(X.to_numpy(), columns=names)
    classifier = trained(frame)
    assert classifier.feature_names_in_ == [str(name) for name in names]
    expected = classifier.predict_proba(X.to_numpy())
    np.testing.assert_array_equal(classifier.predict_proba(frame.iloc[:, [2, 0, 3, 1]]), expected)
    with pytest.raises(ValueError, match="got a table without .* and with the other column"):
        classifier.predict(frame.iloc[:, [0, 1, 2]].assign(height=1.0))


def test_the_numbers_of_columns_are_no_names_for_columns_that_have_some():
    numbered = pd.DataFrame(X.to_numpy())
    for one, other in ((X, numbered), (numbered, X)):
        classifier = trained(one)
        np.testing.assert_array_equal(classifier.predict_proba(other), classifier.predict_proba(one))
    with pytest.raises(ValueError, match="without 'sepal length"):
        trained(X).predict(numbered[[1, 0, 2, 3]])


def test_labels_can_be_a_frame_of_one_column():
    assert trained(labels=pd.DataFrame({"species": SPECIES})).classes_.tolist() == ["setosa", "versicolor", "virginica"]


def test_columns_of_csv_files_are_matched_by_name(tmp_path):
    X.assign(target=SPECIES).to_csv(tmp_path / "iris.csv", index=False)
    X[X.columns[::-1]].to_csv(tmp_path / "new.csv", index=False)
    classifier = trained(str(tmp_path / "iris.csv"), None)
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert classifier.feature_names_in_ == list(X.columns)
    np.testing.assert_array_equal(classifier.predict_proba(tmp_path / "new.csv"), classifier.predict_proba(X))
    with pytest.raises(ValueError, match="other column 'target'"):
        classifier.predict(X.assign(target=1.0))
    features, labels = read_data(tmp_path / "iris.csv")
    assert features.column_names == list(X.columns) and labels.tolist() == SPECIES.tolist()
    assert Data(as_reader(tmp_path / "new.csv")).adapted(X.columns).column_names == list(X.columns)
