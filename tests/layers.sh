#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fails when a file includes a header of a layer above its own.
# A layer may use itself and the layers before it; channels and flow never see each
# other, and a channel sees of daemon/ only what stands below both.
root=${1:-.}
awk '
BEGIN { rank["base"]=0; rank["model"]=1; rank["io"]=2; rank["channels"]=3; rank["flow"]=3
	rank["edge"]=4; rank["cli"]=5 }
function layer(path) { sub(/.*daemon\//, "", path); sub(/^.*channels\//, "channels/", path); sub(/\/.*/, "", path); return path }
FNR == 1 { here = layer(FILENAME) }
/^#include "/ {
	there = $2; gsub(/"/, "", there); sub(/\/.*/, "", there)
	if (!(there in rank)) next
	if (rank[there] > rank[here] || (rank[there] == rank[here] && there != here)) {
		printf "%s:%d: %s may not include %s\n", FILENAME, FNR, here, there; bad = 1
	}
}
END { exit bad }' $(find "$root/daemon" "$root/channels" -name '*.[ch]')
