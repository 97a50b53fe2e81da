"""Photographs and videos to cartoons for people: what draws, what is drawn on, and where it goes."""
