"""`python -m launch.policy launcher|job|trust`: the least that IAM has to allow, for an account and a bucket."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import resources

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well
from dogbreed.errors import ConfigError
from launch.aws.session import bucket_of, region_of, role_of
from launch.hosting.reading import conf_values
from launch.hosting.settings import REALTIME

#: Which policies there are, each a file of launch/iam.
POLICIES = {
    "launcher": "for who runs the commands of launch: a person, or CI",
    "job": "for the role that jobs and endpoints run as",
    "trust": "who may take that role on: SageMaker, in this account",
}


@ends_well("nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print a policy; 0 if all is well, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    role, region = _role(options), region_of(options)
    if region is None:
        raise ConfigError("no region", "a region, such as us-east-1", "add --region, or set AWS_REGION")
    places = {
        "arn:aws:": role.partition("iam:")[0],  # elsewhere in China and the GovCloud
        "ACCOUNT": role.split(":")[4],
        "REGION": region,
        "BUCKET": bucket_of(options, region, role),
        "PREFIX/": f"{options.prefix.strip('/')}/".lstrip("/"),
        "role/ROLE": f"role/{role.partition(':role/')[2]}",
    }
    print(fill(read(options.policy), places), end="")
    return 0


def _role(options: argparse.Namespace) -> str:
    """The role, or an error in the words of this command."""
    try:
        return role_of(options)
    except ConfigError as error:
        hint = "add --role arn:aws:iam::ACCOUNT:role/NAME, or set DOGBREED_ROLE"
        raise ConfigError(error.got.replace("sagemaker.role", "--role"), error.allowed, hint) from error


def read(policy: str) -> str:
    """A policy with its placeholders, JSON."""
    return (resources.files("launch") / "iam" / f"{policy}.json").read_text(encoding="utf-8")


def fill(policy: str, places: Mapping[str, str]) -> str:
    """A policy with these placeholders replaced.

    >>> fill('"arn:aws:s3:::BUCKET/PREFIX/*"', {"BUCKET": "dogs", "PREFIX/": ""})
    '"arn:aws:s3:::dogs/*"'
    """
    for name, value in places.items():
        policy = policy.replace(name, value)
    return policy


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(prog="python -m launch.policy", description=__doc__.partition(": ")[2])
    listed = "; ".join(f"{name}: {what}" for name, what in POLICIES.items())
    parser.add_argument("policy", choices=POLICIES, metavar="POLICY", help=listed)
    parser.add_argument("--role", metavar="ARN", help="that jobs run as; without it, DOGBREED_ROLE")
    parser.add_argument("--region", help="without it, the environment's or profile's")
    parser.add_argument("--bucket", help="for code, data and results; without it, sagemaker-REGION-ACCOUNT")
    prefix = conf_values(REALTIME)["prefix"]
    parser.add_argument("--prefix", default=prefix, help="of everything in the bucket; default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
