#!/usr/bin/env bash
# Several hosts on one machine: network namespaces that a bridge joins, each with an address and a line
# of its own, in which MPICH's launcher starts a rank each.
#
#     tests/ranks/hosts.sh HOSTS RATE PROGRAM ARGUMENTS…
#
# RATE is what each line sends at most, as tc writes it: 1gbit. With CUT=SECONDS, the last host is cut off
# so long after the start. It takes root, iproute2 and mpiexec.mpich; another MPICH's launcher can be named
# by MPIEXEC. All is undone at the end.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
hosts=$1 rate=$2
shift 2
name=vgg$$
bridge=vggbr$((RANDOM % 1000))

undo() {
  for i in $(seq "$hosts"); do ip netns del "$name-$i" 2>/dev/null || true; done
  ip link del "$bridge" 2>/dev/null || true
  rm -f "$launch"
}
launch=$(mktemp)
trap undo EXIT
ip link add "$bridge" type bridge
ip link set "$bridge" up
list=
for i in $(seq "$hosts"); do
  host=$name-$i
  ip netns add "$host"
  ip link add "$bridge-$i" type veth peer name eth0 netns "$host"
  ip link set "$bridge-$i" master "$bridge" up
  ip -n "$host" addr add "10.77.0.$i/24" dev eth0
  ip -n "$host" link set eth0 up
  ip -n "$host" link set lo up
  ip netns exec "$host" tc qdisc add dev eth0 root tbf rate "$rate" burst 1mb latency 100ms
  list+=${list:+,}10.77.0.$i
done

# In the place of ssh: `launch [OPTIONS] ADDRESS COMMAND…`.
cat >"$launch" <<END
#!/bin/bash
while [[ \$1 == -* ]]; do shift; done
exec ip netns exec $name-\${1##*.} sh -c "\${*:2}"
END
chmod +x "$launch"
if [ -n "${CUT:-}" ]; then
  (sleep "$CUT" && ip link set "$bridge-$hosts" down && echo "host $hosts is cut off") >&2 &
fi
# Over the lines alone: they are namespaces of one kernel, which MPI notices.
export UCX_TLS=tcp,self UCX_NET_DEVICES=eth0 FI_PROVIDER=tcp MPIR_CVAR_NOLOCAL=1
# The launcher is on the first host: what it listens on, the others must reach.
ip netns exec "$name-1" "${MPIEXEC:-mpiexec.mpich}" -launcher ssh -launcher-exec "$launch" \
  -iface eth0 -hosts "$list" -ppn 1 -n "$hosts" "$@"
