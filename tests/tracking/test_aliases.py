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


def serve(model, *versions, place="here"):
    for version in versions:
        aliases.set_champion(model, version)
        aliases.mark_served(model, version, place)


def roll_back(model, place="here"):
    back = aliases.begin_rollback(model, place)
    aliases.mark_served(model, back, place)
    return back


def test_rolled_back_and_forth(model):
    serve(model, 1, 2)
    assert champion_and_previous(model) == [2, 1]
    assert roll_back(model) == 1 and champion_and_previous(model) == [1, 2]
    assert roll_back(model) == 2 and champion_and_previous(model) == [2, 1]


@pytest.mark.parametrize("champion", [None, 2])
def test_a_rollback_that_was_interrupted_goes_the_same_way_again(model, champion):
    """Also where nobody was champion: the alias had been removed."""
    aliases.set_alias(model, aliases.PREVIOUS, 1)
    if champion:
        aliases.set_champion(model, champion)
    assert aliases.begin_rollback(model, "here") == 1
    assert aliases.begin_rollback(model, "here") == 1  # the first one ended before `mark_served`
    assert champion_and_previous(model)[0] == 1


def test_a_champion_that_is_also_the_previous_version_has_no_way_back(model):
    aliases.set_champion(model, 2)
    aliases.set_alias(model, aliases.PREVIOUS, 2)
    with pytest.raises(UserError, match=f"version 2 of MLflow's model '{model}' is champion and previous at once"):
        aliases.begin_rollback(model, "here")


@pytest.mark.parametrize("moved_back", ["by rollback", "by hand"])
def test_a_version_that_was_refused_is_never_the_way_back(model, moved_back):
    """`promote` of version 3 was refused, and version 2 is to stay."""
    register(model, None, generator_sha256="3")
    serve(model, 1, 2)
    aliases.set_champion(model, 3)
    if moved_back == "by hand":
        serve(model, 2)
    else:
        assert roll_back(model) == 2
    assert champion_and_previous(model) == [2, 1]
    assert roll_back(model) == 1 and champion_and_previous(model) == [1, 2]


def test_tags_that_were_half_written_are_completed_by_the_next_promotion(model):
    serve(model, 1)
    registry.set_tags(model, 2, {aliases.SERVED_IN: "here"})  # of both versions: it ended before the first lost its own
    serve(model, 2)
    assert aliases.SERVED_IN not in registry.read_tags(model, 1)
    assert champion_and_previous(model) == [2, 1]


def test_a_place_without_tags_has_what_it_served_before_as_previous(model):
    aliases.set_champion(model, 2)
    aliases.mark_served(model, 2, "here", before=1)
    assert champion_and_previous(model) == [2, 1]
    aliases.mark_served(model, 2, "here", before=7)  # a number that MLflow does not know
    assert champion_and_previous(model) == [2, 1]


def test_another_place_does_not_end_a_rollback(model):
    serve(model, 1, 2)
    aliases.begin_rollback(model, "here")
    aliases.mark_served(model, 1, "there")
    assert aliases.is_rolled_back_to(model, 1, "here", 60) and not aliases.is_rolled_back_to(model, 1, "there", 60)
    aliases.mark_served(model, 1, "here")
    assert not aliases.is_rolled_back_to(model, 1, "here", 60)


def test_without_aliases_it_says_how_they_come(model):
    assert aliases.champion_version(model) is None and aliases.champion_version("unknown") is None
    with pytest.raises(UserError, match="no version with the alias 'champion'"):
        aliases.require_champion(model)
    with pytest.raises(UserError, match="no version with the alias 'previous'"):
        aliases.begin_rollback(model, "here")


def test_places_with_spaces_are_known_again(model):
    aliases.mark_served(model, 1, "/srv/a b/triton_repo")
    aliases.mark_served(model, 1, "s3://bucket/models")
    aliases.mark_served(model, 2, "/srv/a b/triton_repo")
    places = [registry.read_tags(model, version).get(aliases.SERVED_IN) for version in (1, 2)]
    assert places == ["s3://bucket/models", "'/srv/a b/triton_repo'"]


def test_why_a_version_was_not_served_is_forgotten_with_the_next_one_that_is(model):
    aliases.set_champion(model, 1)
    aliases.mark_refused(model, 2, "its graph draws nothing")
    assert aliases.REFUSED not in registry.read_tags(model, 1)
    assert registry.read_tags(model, 2)[aliases.REFUSED] == "its graph draws nothing"
    aliases.mark_served(model, 1, "here")
    assert aliases.REFUSED not in registry.read_tags(model, 2)
