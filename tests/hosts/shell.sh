# What the commands of settings.toml have in common. The machine has one server at a time, and one ordinary user, tester.

snekhouse=/opt/snekhouse/bin/snekhouse

# Start something as the tester, who has a manager of their own.
as_tester() {
  loginctl enable-linger tester
  local runtime; runtime=/run/user/$(id --user tester)
  until [ -S "$runtime/bus" ]; do sleep 0.2; done
  (cd / && runuser --user tester -- env XDG_RUNTIME_DIR="$runtime" HOME=/home/tester "$@")
}

# Start something in the background, with its log where `log` of the setting finds it.
in_background() {
  "$@" </dev/null >/run/server.log 2>&1 &
}

# The server itself, and not what has started it.
server() {
  pgrep --oldest --full '^/opt/snekhouse/bin/python /opt/snekhouse/bin/snekhouse serve'
}

# End the server by a signal, and wait until it has ended.
end_by() {
  local pid; pid=$(server)
  kill -s "$1" "$pid"
  tail --pid="$pid" --follow /dev/null
}

# Start the project's unit; beside it is one that tells in the same place which walls stand.
start_unit() {
  install -m 644 deploy/systemd/snekhouse.service /etc/systemd/system/
  sed -e "s|^ExecStart=.*|ExecStart=$snekhouse doctor --json --registry $REGISTRY|" -e 's/^Type=.*/Type=oneshot/' \
      -e '/^Restart=/d' -e '/Directory/d' -e 's|^Delegate=|StandardOutput=truncate:/run/doctor.json\nStandardError=journal\nDelegate=|' \
      deploy/systemd/snekhouse.service > /run/systemd/system/doctor.service
  systemctl daemon-reload
  systemctl restart snekhouse
}

# Start Debian's Docker.
start_docker() {
  systemctl stop newer-docker newer-containerd 2>/dev/null || true
  systemctl start docker
}

# Start Docker 28 or later in its place, with what it keeps in folders of its own. Its containerd is started before, since
# dockerd waits 15 s for one that it starts itself, which is not enough where the machine is emulated.
start_newer_docker() {
  if systemctl is-active --quiet newer-docker; then return; fi
  systemctl stop docker.socket docker containerd
  as_newer newer-containerd /opt/newer/usr/bin/containerd \
      --root /var/lib/newer-containerd --state /run/newer-containerd --address /run/newer-containerd/socket
  as_newer newer-docker /opt/newer/usr/sbin/dockerd --data-root /var/lib/newer-docker --containerd /run/newer-containerd/socket
}

# Start a service of the newer packages: its unit, and its command.
as_newer() {
  systemd-run --unit="$1" --collect --service-type=notify -p Delegate=yes -p KillMode=process -p TimeoutStartSec=infinity \
      --setenv=PATH=/opt/newer/usr/sbin:/opt/newer/usr/bin:$PATH "${@:2}"
}

# The command of the Docker that runs.
docker() {
  if systemctl is-active --quiet newer-docker; then
    /opt/newer/usr/bin/docker "$@"
  else
    command docker "$@"
  fi
}

# Make the image of the project for Docker, as its Dockerfile does, but with Debian's Python alone.
make_image() {
  if docker image inspect snekhouse >/dev/null 2>&1; then return; fi
  docker import /opt/base.tar snekhouse-base
  local context=/var/tmp/image
  mkdir -p $context
  cp -a /opt/snekhouse /etc/snekhouse/runtimes.toml $context/
  {
    printf 'FROM snekhouse-base\nCOPY snekhouse /opt/snekhouse\n'
    sed --quiet '/^COPY \["runtimes.toml"/,$p' Dockerfile
  } > $context/Dockerfile
  DOCKER_BUILDKIT=0 docker build --network none --tag snekhouse $context
}

# Give the machine a default route, which leads nowhere: Podman gives its containers a copy of it.
give_route() {
  if ip route show default | grep -q .; then return; fi
  ip link add outside type dummy
  ip address add 192.0.2.2/24 dev outside
  ip link set outside up
  ip route add default via 192.0.2.1
}

# Give that image to the tester's Podman.
share_image() {
  if as_tester podman image exists snekhouse; then return; fi
  docker save snekhouse | as_tester podman load
  as_tester podman tag docker.io/library/snekhouse:latest snekhouse
}

load_apparmor() {
  install -m 644 deploy/apparmor/snekhouse /etc/apparmor.d/
  apparmor_parser --replace /etc/apparmor.d/snekhouse
}
