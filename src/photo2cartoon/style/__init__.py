"""A style of one's own: a project folder outside of this repository, with data, parameters and stages."""
