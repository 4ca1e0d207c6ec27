"""AWS on this machine, to rehearse with: every command of launch/ works against it, and nothing is billed."""

from __future__ import annotations

from launch.standin.running import stand_in

__all__ = ["stand_in"]
