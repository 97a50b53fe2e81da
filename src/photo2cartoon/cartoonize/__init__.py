"""Turns photographs and videos into cartoons, in files and on a web page."""
