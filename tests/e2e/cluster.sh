#!/bin/bash
# A real Kubernetes control plane and one real node, on loopback, for tests.
#
#   cluster.sh build            the programs, into the cache (tests/e2e/build)
#   cluster.sh up               start: etcd, API server, controllers, scheduler, containerd, kubelet
#   cluster.sh down             stop all of it, its containers and its mounts; keeps data and logs
#   cluster.sh wipe             down, and remove everything it left on the machine but the cache
#   cluster.sh status           one line per program, and the node
#   cluster.sh start|stop|restart NAME      one program, e.g. restart kubelet
#   cluster.sh image NAME DIR [ENTRYPOINT [ARG...]]
#                               import the root file system in DIR as a local image
#   cluster.sh kubeconfig NAME TOKEN        print one that logs in by a service account's token
#   cluster.sh kubectl ARG...   kubectl as cluster admin
#   cluster.sh ctr ARG...       ctr in the node's image and container namespace
#   cluster.sh env              shell lines that set KUBECONFIG, PATH and the socket names
#
# Set by environment (defaults in brackets):
#   KUBE_STATE   everything a running cluster writes; a short path    [/tmp/kerf-kube]
#   KUBE_CACHE KUBE_VERSION CONTAINERD_VERSION        see tests/e2e/build
#   KUBE_NODE    node name; an address of 127.0.0.0/8, because a kubelet takes
#                its own address from a name that is an address [127.0.0.1]
#   KUBE_ETCD_PORT KUBE_ETCD_PEER_PORT KUBE_API_PORT KUBE_CONTROLLER_PORT
#   KUBE_SCHEDULER_PORT KUBE_KUBELET_PORT KUBE_KUBELET_HEALTH_PORT
#                [2379 2380 6443 10257 10259 10250 10248]
#   KUBE_API_ARGS KUBE_CONTROLLER_ARGS KUBE_SCHEDULER_ARGS KUBE_KUBELET_ARGS
#                more arguments, split at white space
#
# Needs root and the packages of group e2e in tools/packages.txt.  A running cluster uses no network
# but loopback, and has no pod network: a pod is alone in its namespace (cni/no-network) unless it has
# hostNetwork: true.  CDI files are read from $KUBE_STATE/cdi alone.  The kubelet's paths are fixed
# by its interfaces: /var/lib/kubelet is a bind mount of $KUBE_STATE/kubelet while the cluster is up.
# Whatever a crashed run left behind, `wipe` finds it: processes by the state directory that their
# command lines name, mounts by their place.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state=${KUBE_STATE:-/tmp/kerf-kube}
cache=${KUBE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kerf/kube}
version=${KUBE_VERSION:-1.36.3}
cversion=${CONTAINERD_VERSION:-2.3.7}
node=${KUBE_NODE:-127.0.0.1}
etcd_port=${KUBE_ETCD_PORT:-2379}
etcd_peer_port=${KUBE_ETCD_PEER_PORT:-2380}
api_port=${KUBE_API_PORT:-6443}
controller_port=${KUBE_CONTROLLER_PORT:-10257}
scheduler_port=${KUBE_SCHEDULER_PORT:-10259}
kubelet_port=${KUBE_KUBELET_PORT:-10250}
health_port=${KUBE_KUBELET_HEALTH_PORT:-10248}
services=127.96.0.0/16          # service addresses; .0.1 is the API server's
service_ip=127.96.0.1

bin=$cache/bin/$version-$cversion
pki=$state/pki
cri=$state/run/containerd.sock
kubeconfig=$state/admin.kubeconfig

say() { printf '%s\n' "$*" >&2; }
die() { say "cluster.sh: $*"; exit 1; }

# ---------------------------------------------------------------- state files

check_tools() {
	local missing="" p
	for p in runc:runc openssl:openssl jq:jq mount:mount setsid:util-linux curl:curl; do
		command -v "${p%%:*}" >/dev/null || missing="$missing ${p##*:}"
	done
	[ -x /bin/busybox ] || missing="$missing busybox-static"
	[ -z "$missing" ] || die "missing; Debian packages:$missing"
	[ "$(id -u)" = 0 ] || die "must be root (a kubelet and runc need it)"
	[ -x "$bin/kube" ] || die "no programs in $bin: run tests/e2e/build first"
	[ "${#state}" -le 60 ] || die "KUBE_STATE is too long for the names of sockets in it"
	case $state in /*/*) ;; *) die "KUBE_STATE must be an absolute path, and not at the top" ;; esac
	if grep -q ' /var/lib/kubelet ' /proc/self/mountinfo && ! [ /var/lib/kubelet -ef "$state/kubelet" ]; then
		die "/var/lib/kubelet belongs to another cluster; is one up with another KUBE_STATE?"
	fi
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then return; fi
	for p in cpu cpuacct cpuset memory devices freezer pids; do
		[ -d "/sys/fs/cgroup/$p" ] || die "cgroup v1 controller $p is not mounted"
	done
}

# certificate FILE SUBJECT [SUBJECTALTNAMES]: a key and a certificate by our CA
certificate() {
	[ -s "$pki/$1.crt" ] && return
	local ext=extendedKeyUsage=clientAuth
	if [ -n "${3:-}" ]; then ext=$(printf 'extendedKeyUsage=serverAuth\nsubjectAltName=%s' "$3"); fi
	openssl ecparam -name prime256v1 -genkey -noout -out "$pki/$1.key"
	openssl req -new -key "$pki/$1.key" -subj "$2" |
		openssl x509 -req -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 \
			-extfile <(printf 'keyUsage=digitalSignature\n%s\n' "$ext") -out "$pki/$1.crt" 2>/dev/null
}

# kubeconfig_for USER: written once; it names the key files
kubeconfig_for() {
	cat >"$state/$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority: "$pki/ca.crt"}}]
users: [{name: $1, user: {client-certificate: "$pki/$1.crt", client-key: "$pki/$1.key"}}]
contexts: [{name: test, context: {cluster: test, user: $1}}]
Y
}

kubeconfig_by_token() { # kubeconfig_by_token USER TOKEN
	cat <<Y
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority: "$pki/ca.crt"}}]
users: [{name: "$1", user: {token: "$2"}}]
contexts: [{name: test, context: {cluster: test, user: "$1"}}]
Y
}

write_state() {
	umask 077
	mkdir -p "$pki" "$state"/{log,pid,run,etcd,kubelet,containerd,cni/net.d,cdi,manifests}
	if [ ! -s "$pki/ca.crt" ]; then
		openssl ecparam -name prime256v1 -genkey -noout -out "$pki/ca.key"
		openssl req -x509 -new -key "$pki/ca.key" -subj /CN=kerf-test-ca -days 3650 -out "$pki/ca.crt" \
			-addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
		openssl ecparam -name prime256v1 -genkey -noout -out "$pki/sa.key"
		openssl ec -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
	fi
	certificate apiserver /CN=kube-apiserver "IP:127.0.0.1,IP:$service_ip,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
	certificate kubelet-server "/CN=$node" "IP:127.0.0.1,IP:$node"
	certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
	certificate admin /O=system:masters/CN=admin
	certificate controller-manager /CN=system:kube-controller-manager
	certificate scheduler /CN=system:kube-scheduler
	certificate kubelet "/O=system:nodes/CN=system:node:$node"
	local u
	for u in admin controller-manager scheduler kubelet; do kubeconfig_for "$u"; done

	cat >"$state/cni/net.d/10-no-network.conflist" <<'Y'
{"cniVersion": "1.0.0", "name": "none", "plugins": [{"type": "no-network"}]}
Y
	# Without CAP_SYS_RESOURCE nobody may lower oom_score_adj, and every sandbox
	# would die in runc with "can't get final child's PID from pipe: EOF".
	local restrict=false
	if ! (echo -998 >/proc/self/oom_score_adj) 2>/dev/null; then restrict=true; fi
	cat >"$state/containerd.toml" <<Y
version = 3
root = '$state/containerd'
state = '$state/run/containerd'
imports = []
disabled_plugins = ['io.containerd.snapshotter.v1.blockfile', 'io.containerd.nri.v1.nri', 'io.containerd.image-verifier.v1.bindir', 'io.containerd.internal.v1.opt']
[grpc]
  address = '$cri'
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = 'localhost/pause:1'
[plugins.'io.containerd.cri.v1.runtime']
  enable_cdi = true
  cdi_spec_dirs = ['$state/cdi']
  disable_apparmor = true
  restrict_oom_score_adj = $restrict
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['$here/cni']
    conf_dir = '$state/cni/net.d'
    use_internal_loopback = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '$(command -v runc)'
        SystemdCgroup = false
        Root = '$state/run/runc'
Y
	cat >"$state/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kubelet_port
healthzBindAddress: 127.0.0.1
healthzPort: $health_port
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: "$pki/ca.crt"}}
authorization: {mode: Webhook}
tlsCertFile: "$pki/kubelet-server.crt"
tlsPrivateKeyFile: "$pki/kubelet-server.key"
containerRuntimeEndpoint: "unix://$cri"
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
resolvConf: ""
clusterDNS: [127.96.0.10] # nobody listens there; without one each pod gets an Event
staticPodPath: "$state/manifests"
podLogsDir: "$state/log/pods"
volumePluginDir: "$state/volume-plugins"
nodeStatusUpdateFrequency: 2s
nodeStatusReportFrequency: 1m
syncFrequency: 10s
maxPods: 250
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
shutdownGracePeriod: 0s
registerNode: true
Y
	umask 022
}

# ---------------------------------------------------------------- processes

runs() { # a process, and not a zombie that process 1 has yet to collect
	[ "$(readlink "/proc/$1/exe" 2>/dev/null)" ]
}

ours() { # prints the pids whose command line has our state directory and matches PATTERN
	local p
	for p in /proc/[0-9]*; do
		if { tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -E -- "${state}[/ ]" | grep -q -- "$1"; then
			[ "${p#/proc/}" = "$$" ] || echo "${p#/proc/}"
		fi
	done
}

pid_of() { # prints the pid of a program that we started and that still runs
	local pid
	pid=$(cat "$state/pid/$1" 2>/dev/null) || return 1
	[ -n "$pid" ] && runs "$pid" || return 1
	tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "$state" || return 1
	echo "$pid"
}

launch() { # launch NAME COMMAND...
	local name=$1
	shift
	pid_of "$name" >/dev/null && return
	setsid "$@" >>"$state/log/$name.log" 2>&1 </dev/null &
	echo $! >"$state/pid/$name"
}

stop() {
	local pid
	pid=$(pid_of "$1") || { rm -f "$state/pid/$1"; return 0; }
	kill -TERM "$pid"
	for _ in $(seq 200); do runs "$pid" || break; sleep 0.05; done
	if runs "$pid"; then kill -KILL "$pid"; fi
	rm -f "$state/pid/$1"
}

wait_for() { # wait_for WHAT SECONDS COMMAND...
	local what=$1 end=$((SECONDS + $2))
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "$what: not ready; see $state/log"
		sleep 0.1
	done
}

export KUBECACHEDIR=$state/kubectl # not ~/.kube
k() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }
c() { "$bin/ctr" -a "$cri" -n k8s.io "$@"; }

programs="etcd kube-apiserver forward kube-controller-manager kube-scheduler containerd kubelet"

start() {
	local more
	case $1 in
	etcd)
		launch etcd "$bin/etcd" --name test --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
			--listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
			--listen-peer-urls "http://127.0.0.1:$etcd_peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer_port" \
			--initial-cluster "test=http://127.0.0.1:$etcd_peer_port" ;;
	kube-apiserver)
		read -ra more <<<"${KUBE_API_ARGS:-}"
		launch kube-apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" \
			--bind-address 127.0.0.1 --secure-port "$api_port" \
			--advertise-address 127.0.0.1 --endpoint-reconciler-type none \
			--tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" --client-ca-file "$pki/ca.crt" \
			--kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" --kubelet-client-key "$pki/apiserver-kubelet-client.key" \
			--kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
			--service-account-issuer https://kubernetes.default.svc \
			--service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" \
			--service-cluster-ip-range "$services" --allow-privileged \
			--authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction ${more[@]+"${more[@]}"} ;;
	forward)
		launch forward "$bin/kube" forward "$service_ip:443" "127.0.0.1:$api_port" "$state" ;;
	kube-controller-manager)
		read -ra more <<<"${KUBE_CONTROLLER_ARGS:-}"
		launch kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$state/controller-manager.kubeconfig" \
			--authentication-kubeconfig "$state/controller-manager.kubeconfig" --authentication-skip-lookup --client-ca-file "$pki/ca.crt" --authorization-kubeconfig "$state/controller-manager.kubeconfig" \
			--bind-address 127.0.0.1 --secure-port "$controller_port" --leader-elect=false --flex-volume-plugin-dir "$state/volume-plugins" --use-service-account-credentials \
			--kube-api-qps 200 --kube-api-burst 400 \
			--service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" \
			--cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" ${more[@]+"${more[@]}"} ;;
	kube-scheduler)
		read -ra more <<<"${KUBE_SCHEDULER_ARGS:-}"
		launch kube-scheduler "$bin/kube-scheduler" --kubeconfig "$state/scheduler.kubeconfig" \
			--authentication-kubeconfig "$state/scheduler.kubeconfig" --authentication-skip-lookup --client-ca-file "$pki/ca.crt" --authorization-kubeconfig "$state/scheduler.kubeconfig" \
			--bind-address 127.0.0.1 --secure-port "$scheduler_port" --leader-elect=false \
			--kube-api-qps 200 --kube-api-burst 400 ${more[@]+"${more[@]}"} ;;
	containerd)
		PATH=$bin:$PATH launch containerd "$bin/containerd" -c "$state/containerd.toml" -l warn ;;
	kubelet)
		if ! grep -q " /var/lib/kubelet " /proc/self/mountinfo; then
			[ -d /var/lib/kubelet ] || { mkdir -p /var/lib/kubelet && touch "$state/made-kubelet-dir"; }
			mount --bind "$state/kubelet" /var/lib/kubelet
			mount --make-shared /var/lib/kubelet
		elif ! [ /var/lib/kubelet -ef "$state/kubelet" ]; then
			die "/var/lib/kubelet is a mount of something else"
		fi
		read -ra more <<<"${KUBE_KUBELET_ARGS:-}"
		launch kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$state/kubelet.kubeconfig" \
			--hostname-override "$node" --cert-dir "$state/kubelet/pki" ${more[@]+"${more[@]}"} ;;
	*) die "no program named $1" ;;
	esac
}

up() {
	check_tools
	write_state
	local begin=$SECONDS
	start etcd
	start containerd
	wait_for etcd 30 curl -fsS "http://127.0.0.1:$etcd_port/health"
	start kube-apiserver
	wait_for containerd 30 c version
	images
	wait_for kube-apiserver 120 k get --raw /readyz
	start forward
	start kube-controller-manager
	start kube-scheduler
	start kubelet
	wait_for "node $node" 120 k wait --for=condition=Ready "node/$node" --timeout=1s
	wait_for "service account default" 60 k get serviceaccount default
	say "up in $((SECONDS - begin)) s; export KUBECONFIG=$kubeconfig"
}

down() {
	stop kubelet
	if pid_of containerd >/dev/null; then
		local id
		for id in $(c tasks ls -q 2>/dev/null); do c tasks rm -f "$id" >/dev/null 2>&1 || true; done
		for id in $(c containers ls -q 2>/dev/null); do c containers rm "$id" >/dev/null 2>&1 || true; done
	fi
	local p
	for p in containerd kube-scheduler kube-controller-manager forward kube-apiserver etcd; do stop "$p"; done
	# What pid files do not tell: shims, their containers (by cgroup), what a crashed run left,
	# agents of test cases among it.
	for p in $(ours "^$bin/") $(ours '^[^ ]*containerd-shim') $(ours '^[^ ]*kerf agent ') $(in_pod_cgroups); do kill -KILL "$p" 2>/dev/null || true; done
	rm -f "$state"/pid/*
	unmount_all
	for p in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
		if [ -d "$p" ]; then find "$p" -depth -type d -exec rmdir {} + 2>/dev/null || true; fi
	done
}

in_pod_cgroups() { # our kubelet is the only one on this machine while /var/lib/kubelet is our mount
	[ /var/lib/kubelet -ef "$state/kubelet" ] || return 0
	find /sys/fs/cgroup -path '*/kubepods/*' -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u
}

unmount_all() {
	awk -v s="$state/" '{ m = $5 "/" } index(m, s) == 1 || index(m, "/var/lib/kubelet/") == 1 { print $5 }' \
		/proc/self/mountinfo | sort -r | while read -r p; do
		umount "$p" 2>/dev/null || umount -l "$p" || true
	done
}

wipe() { # paths outside the state directory are compiled into kubelet and containerd
	local p
	down
	for p in /var/log/containers/*; do
		case $(readlink "$p") in "$state"/*) rm -f "$p" ;; esac
	done
	for p in /run/containerd/s/*; do # dead sockets of shims; those of another containerd are in use
		if [ -S "$p" ] && ! grep -qF "$p" /proc/net/unix; then rm -f "$p"; fi
	done
	rmdir /var/log/containers /run/containerd/s /run/containerd/fifo /run/containerd 2>/dev/null || true
	if [ -e "$state/made-kubelet-dir" ]; then rmdir /var/lib/kubelet 2>/dev/null || true; fi
	rm -rf --one-file-system "$state"
}

status() {
	local p pid rc=0
	for p in $programs; do
		if pid=$(pid_of "$p"); then
			printf '%-24s pid %-7s rss %5d MiB\n' "$p" "$pid" $(($(awk '/^VmRSS/{print $2}' "/proc/$pid/status") / 1024))
		else
			printf '%-24s not running\n' "$p"
			rc=1
		fi
	done
	k get node "$node" 2>/dev/null || rc=1
	echo
	return $rc
}

# ---------------------------------------------------------------- images

# image NAME DIR [ENTRYPOINT...]: a one-layer image in the form "docker save" writes
image() {
	local name=$1 dir=$2 work layer config arch entry=null
	shift 2
	work=$(mktemp -d)
	case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) die "unknown machine $(uname -m)" ;; esac
	if [ $# -gt 0 ]; then entry=$(jq -cn '$ARGS.positional' --args -- "$@"); fi
	tar --numeric-owner --owner=0 --group=0 --mtime=@0 --sort=name -C "$dir" -cf "$work/layer.tar" .
	layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
	jq -cn --arg l "sha256:$layer" --arg arch "$arch" --argjson e "$entry" '{architecture: $arch, os: "linux",
		config: {Entrypoint: $e, Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
		rootfs: {type: "layers", diff_ids: [$l]}, history: [{created: "1970-01-01T00:00:00Z"}]}' >"$work/config.json"
	config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
	mv "$work/config.json" "$work/$config.json"
	jq -cn --arg n "$name" --arg c "$config.json" '[{Config: $c, RepoTags: [$n], Layers: ["layer.tar"]}]' >"$work/manifest.json"
	tar -C "$work" -cf "$work/image.tar" manifest.json "$config.json" layer.tar
	c images import "$work/image.tar" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "cannot import $name"; }
	rm -rf "$work"
}

images() {
	local root have
	have=$(c images ls -q 2>/dev/null)
	if ! grep -qx localhost/pause:1 <<<"$have"; then
		root=$(mktemp -d)
		cp "$bin/pause" "$root/pause"
		image localhost/pause:1 "$root" /pause
		rm -rf "$root"
	fi
	if ! grep -qx localhost/busybox:1 <<<"$have"; then
		root=$(mktemp -d)
		mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,root,run}
		cp /bin/busybox "$root/bin/busybox"
		for a in $(/bin/busybox --list); do [ "$a" = busybox ] || ln -s busybox "$root/bin/$a"; done
		echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
		echo 'root:x:0:' >"$root/etc/group"
		image localhost/busybox:1 "$root" /bin/sh
		rm -rf "$root"
	fi
}

case ${1:-} in
build) exec "$here/build" ;;
up) up ;;
down) down ;;
wipe) wipe ;;
status) status ;;
start | stop) "$1" "${2:?name of a program}" ;;
restart) stop "${2:?name of a program}"; start "$2" ;;
image) shift; image "$@" ;;
kubectl) shift; exec "$bin/kubectl" --kubeconfig "$kubeconfig" "$@" ;;
kubeconfig) kubeconfig_by_token "${2:?name}" "${3:?token}" ;;
ctr) shift; exec "$bin/ctr" -a "$cri" -n k8s.io "$@" ;;
env)
	# shellcheck disable=SC2016 # for the shell that evaluates it
	printf 'export KUBECONFIG=%q PATH=%q:$PATH CONTAINER_RUNTIME_ENDPOINT=%q\n' "$kubeconfig" "$bin" "unix://$cri"
	;;
*) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; [ -z "${1:-}" ] || exit 2 ;;
esac
