#!/bin/sh
# Installs the servers this suite runs against, those that are missing, and prints the folder they are in.
#
#   S3WRITER_E2E_BIN   the folder; default: $XDG_CACHE_HOME/s3writer-e2e/bin
#
# Each is built from source at one version, in some minutes on a small machine with cold caches.
set -eu

bin=${S3WRITER_E2E_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/s3writer-e2e/bin}
mkdir -p "$bin"

install() { # name, package@version
	if go version -m "$bin/$1" 2>/dev/null | grep -q "mod.*${2##*@}"; then
		return
	fi
	echo "installing $2" >&2
	# Outside any module, so that no go.mod or workspace decides; GOARCH etc. stay the user's.
	(cd "$bin" && GOBIN="$bin" GOWORK=off go install -ldflags '-s -w' "$2") >&2
}

install versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
install minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
install mc github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9

echo "$bin"
