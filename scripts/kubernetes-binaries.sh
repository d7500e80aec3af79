#!/bin/sh
# Builds kube-apiserver and kubelet from Debian's source package `kubernetes` into the folder $1, to try a worker against them
# (docs/systems/kubernetes.md). No part of CI: it takes 2 GB of disk and, on two quiet cores, some ten minutes. Needs root for
# apt-get, and Debian 12, whose package is whole, its vendored modules too.
set -eu
[ $# = 1 ] || {
  echo "usage: $0 FOLDER" >&2
  exit 2
}
mkdir -p "$1"
out=$(cd "$1" && pwd)
version=1.20.2

# --- the source and the compiler ---

apt-get install --yes --no-install-recommends golang-1.19-go dpkg-dev
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main" >"$out/sources.list"
mkdir -p "$out/lists/partial" "$out/gopath/src/k8s.io"
lists="-o Dir::Etc::sourcelist=$out/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$out/lists"
# shellcheck disable=SC2086 # options, each without a blank
(cd "$out" && apt-get $lists update && apt-get $lists source --download-only kubernetes)
tar -xzf "$out"/kubernetes_*.orig.tar.gz -C "$out/gopath/src/k8s.io"
tree=$out/gopath/src/k8s.io/kubernetes
[ -d "$tree" ] || mv "$out/gopath/src/k8s.io/kubernetes-$version" "$tree"

# --- the build ---

PATH=/usr/lib/go-1.19/bin:$PATH
export PATH GOPATH="$out/gopath" GOCACHE="$out/cache" GO111MODULE=off GOFLAGS='' GOPROXY=off CGO_ENABLED=0
cd "$tree"
# The one generated file that is not in the package.
go build -o "$out/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
inputs=$(
  grep -rl --include='*.go' '+k8s:openapi-gen=' staging/src/k8s.io/*/ pkg |
    xargs -n 1 dirname | sort -u | grep -v -E '/(examples?|testdata|code-generator|sample-)' |
    sed -e 's,^staging/src/,k8s.io/kubernetes/vendor/,' -e 's,^pkg/,k8s.io/kubernetes/pkg/,' | paste -s -d ,
)
"$out/openapi-gen" --logtostderr -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
  -h hack/boilerplate/boilerplate.generatego.txt -r "$out/violations"
flags='-s -w'
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for name in "$package" "k8s.io/kubernetes/vendor/$package"; do
    flags="$flags -X $name.gitVersion=v$version -X $name.gitMajor=1 -X $name.gitMinor=20"
  done
done
for program in kube-apiserver kubelet; do
  go build -tags 'providerless dockerless' -ldflags "$flags" -o "$out/$program" "k8s.io/kubernetes/cmd/$program"
done
ls -l "$out/kube-apiserver" "$out/kubelet"
