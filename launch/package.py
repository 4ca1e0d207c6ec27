"""`python -m launch.package --artifact DIR`: model.tar.gz as SageMaker hosts it, the same bytes each time."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dogbreed.arguments import Parser
from dogbreed.commands import ends_well


@ends_well("a package that is not whole was not kept; run it again")
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the package, and say what is in it; 0 if all is well, 1 otherwise."""
    options = make_parser().parse_args(arguments)
    from launch.files.model_package import Package, build_package

    package: Package = build_package(
        options.artifact, options.output, exports=options.exports, thumbnails=options.thumbnails
    )
    code = Counter[str]()
    for name, size in package.files:
        if name.startswith("code/dogbreed/"):
            code.update(files=1, size=size)
        else:
            print(f"{size:>12,}  {name}")
    print(f"{code['size']:>12,}  code/dogbreed/: {code['files']} modules")
    print(f"{package.path}: {package.model}, {package.size:,} bytes, sha256 {package.sha256}")
    print(f"next: {shlex.join(['python', '-m', 'launch.deploy', f'artifact={options.artifact}', 'name=NAME'])}")
    return 0


def make_parser() -> Parser:
    """What this command's arguments may be."""
    parser = Parser(
        prog="python -m launch.package",
        description="Write model.tar.gz in SageMaker's hosting layout: the artifact, code/inference.py, what it "
        "imports of this library, and code/requirements.txt. launch.deploy and launch.transform do it by themselves.",
    )
    parser.add_argument("--artifact", required=True, type=Path, metavar="DIR", help="what a training run wrote")
    parser.add_argument(
        "--output", default=Path("model.tar.gz"), type=Path, metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--exports", action="store_true", help="with the artifact's exports, for other engines")
    parser.add_argument("--thumbnails", action="store_true", help="with the thumbnails, for dogbreed.serve's page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
