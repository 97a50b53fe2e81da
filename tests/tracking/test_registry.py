"""Aliases of the registered model: who serves, who served before, and the way back when a command ends in the middle."""

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.tracking import registry
from tests.registered import register


@pytest.fixture
def model(request, tmp_path):
    """A registered model with two versions and no alias."""
    name = request.node.name.replace("[", "-").rstrip("]")
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "card.txt").write_text(str(number))
        register(name, tmp_path / str(number), generator_sha256=str(number))
    return name


def aliases(model):
    found = (registry.find_alias(model, alias) for alias in (registry.CHAMPION, registry.PREVIOUS))
    return [None if version is None else int(version.version) for version in found]


def test_rolled_back_and_forth(model):
    registry.set_champion(model, 2)
    registry.set_alias(model, registry.PREVIOUS, 1)
    assert registry.swap_with_previous(model) == 1 and aliases(model) == [1, 2]
    registry.mark_served(model, 1, "here")
    assert registry.swap_with_previous(model) == 2 and aliases(model) == [2, 1]


@pytest.mark.parametrize("champion", [None, 2])
def test_a_rollback_that_was_interrupted_goes_the_same_way_again(model, champion):
    """Also where nobody was champion: the alias had been removed."""
    registry.set_alias(model, registry.PREVIOUS, 1)
    if champion:
        registry.set_champion(model, champion)
    assert registry.swap_with_previous(model) == 1
    assert registry.swap_with_previous(model) == 1  # the first one ended before `mark_served`
    assert aliases(model)[0] == 1


def test_a_champion_that_is_also_the_previous_version_has_no_way_back(model):
    registry.set_champion(model, 2)
    registry.set_alias(model, registry.PREVIOUS, 2)
    with pytest.raises(UserError, match=f"version 2 of MLflow's model '{model}' is champion and previous at once"):
        registry.swap_with_previous(model)


def test_without_aliases_it_says_how_they_come(model):
    assert registry.champion_version(model) is None and registry.champion_version("unknown") is None
    with pytest.raises(UserError, match="no version with the alias 'champion'"):
        registry.require_champion(model)
    with pytest.raises(UserError, match="no version with the alias 'previous'"):
        registry.swap_with_previous(model)


def test_places_with_spaces_are_known_again(model):
    registry.mark_served(model, 1, "/home/a b/triton_repo")
    registry.mark_served(model, 1, "s3://bucket/models")
    registry.mark_served(model, 2, "/home/a b/triton_repo")
    places = [registry.read_tags(model, version).get(registry.SERVED_IN) for version in (1, 2)]
    assert places == ["s3://bucket/models", "'/home/a b/triton_repo'"]


def test_why_a_version_was_not_served_is_forgotten_with_the_next_one_that_is(model):
    registry.set_champion(model, 1)
    registry.mark_refused(model, 2, "its graph draws nothing")
    assert registry.REFUSED not in registry.read_tags(model, 1)
    assert registry.read_tags(model, 2)[registry.REFUSED] == "its graph draws nothing"
    registry.mark_served(model, 1, "here")
    assert registry.REFUSED not in registry.read_tags(model, 2)
