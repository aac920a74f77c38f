"""Tests; a package so that test rooms can share helpers."""
