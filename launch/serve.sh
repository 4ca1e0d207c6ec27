#!/bin/sh
# The entry point of a container that serves. SageMaker starts it with the word `serve`; options of dogbreed.serve may
# follow. It becomes the server, which so gets SageMaker's signals itself. `ping` asks whether the server answers.
set -eu
case "${1:-serve}" in
  serve) shift $(($# > 0)) ;;
  ping) exec python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:${SAGEMAKER_BIND_TO_PORT:-8080}/ping', timeout=3)" ;;
esac
exec python -m dogbreed.serve --artifact "${SAGEMAKER_BASE_DIR:-/opt/ml}/model" --host 0.0.0.0 \
  --device "${DOGBREED_DEVICE:-cpu}" --engine "${DOGBREED_ENGINE:-torch}" "$@"
