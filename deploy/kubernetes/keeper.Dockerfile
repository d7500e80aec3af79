# The image of keeper pods: sh, coreutils, util-linux and perl are in Debian's slim image already, nft is added for cuts.
# No program of ours is in it: each comes over the worker's own channel.
FROM debian:trixie-slim
RUN apt-get update \
  && apt-get install --yes --no-install-recommends nftables \
  && rm --recursive --force /var/lib/apt/lists/*
