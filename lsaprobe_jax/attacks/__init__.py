"""Membership attacks, one file each, one signature (`outcome`)."""
