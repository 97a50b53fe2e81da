"""Aliases of the registered model: who serves, who served before, and the way back when a command ends in the middle."""

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.tracking import aliases, registry
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


def champion_and_previous(model):
    found = (aliases.find_alias(model, alias) for alias in (aliases.CHAMPION, aliases.PREVIOUS))
    return [None if version is None else int(version.version) for version in found]


def test_rolled_back_and_forth(model):
    aliases.set_champion(model, 2)
    aliases.set_alias(model, aliases.PREVIOUS, 1)
    assert aliases.swap_with_previous(model) == 1 and champion_and_previous(model) == [1, 2]
    aliases.mark_served(model, 1, "here")
    assert aliases.swap_with_previous(model) == 2 and champion_and_previous(model) == [2, 1]


@pytest.mark.parametrize("champion", [None, 2])
def test_a_rollback_that_was_interrupted_goes_the_same_way_again(model, champion):
    """Also where nobody was champion: the alias had been removed."""
    aliases.set_alias(model, aliases.PREVIOUS, 1)
    if champion:
        aliases.set_champion(model, champion)
    assert aliases.swap_with_previous(model) == 1
    assert aliases.swap_with_previous(model) == 1  # the first one ended before `mark_served`
    assert champion_and_previous(model)[0] == 1


def test_a_champion_that_is_also_the_previous_version_has_no_way_back(model):
    aliases.set_champion(model, 2)
    aliases.set_alias(model, aliases.PREVIOUS, 2)
    with pytest.raises(UserError, match=f"version 2 of MLflow's model '{model}' is champion and previous at once"):
        aliases.swap_with_previous(model)


@pytest.mark.parametrize("promoted_again", [False, True])
def test_the_way_back_outlasts_a_promotion_that_failed(model, promoted_again):
    """`promote` of version 3 was refused, and somebody moved the alias `champion` back to version 2."""
    aliases.set_champion(model, 1)
    aliases.mark_served(model, 1, "here")
    aliases.set_champion(model, 2)
    aliases.mark_served(model, 2, "here")
    register(model, None, generator_sha256="3")
    aliases.set_champion(model, 3)
    aliases.set_alias(model, aliases.CHAMPION, 2)
    assert champion_and_previous(model) == [2, 2]
    if promoted_again:
        aliases.mark_served(model, 2, "here")
        assert champion_and_previous(model) == [2, 1]
    assert aliases.swap_with_previous(model) == 1 and champion_and_previous(model) == [1, 2]


def test_without_aliases_it_says_how_they_come(model):
    assert aliases.champion_version(model) is None and aliases.champion_version("unknown") is None
    with pytest.raises(UserError, match="no version with the alias 'champion'"):
        aliases.require_champion(model)
    with pytest.raises(UserError, match="no version with the alias 'previous'"):
        aliases.swap_with_previous(model)


def test_places_with_spaces_are_known_again(model):
    aliases.mark_served(model, 1, "/home/a b/triton_repo")
    aliases.mark_served(model, 1, "s3://bucket/models")
    aliases.mark_served(model, 2, "/home/a b/triton_repo")
    places = [registry.read_tags(model, version).get(aliases.SERVED_IN) for version in (1, 2)]
    assert places == ["s3://bucket/models", "'/home/a b/triton_repo'"]


def test_why_a_version_was_not_served_is_forgotten_with_the_next_one_that_is(model):
    aliases.set_champion(model, 1)
    aliases.mark_refused(model, 2, "its graph draws nothing")
    assert aliases.REFUSED not in registry.read_tags(model, 1)
    assert registry.read_tags(model, 2)[aliases.REFUSED] == "its graph draws nothing"
    aliases.mark_served(model, 1, "here")
    assert aliases.REFUSED not in registry.read_tags(model, 2)
