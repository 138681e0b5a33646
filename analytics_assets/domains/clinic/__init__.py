"""Clinic: app profiles, appointments and the events of a reminder test."""
