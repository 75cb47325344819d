#!/bin/sh
# What one would write by hand: fixed addresses, the first machine makes the Swarm and hands out its token.
set -eu
number=$(sed -n 's/.*naive\.number=\([0-9]*\).*/\1/p' /proc/cmdline)
machines=$(sed -n 's/.*naive\.machines=\([0-9]*\).*/\1/p' /proc/cmdline)
manager=10.79.0.10
until [ -e /sys/class/net/eth0 ]; do sleep 0.2; done
ip address add "10.79.0.1$number/24" dev eth0
ip link set eth0 up
if [ "$number" != 0 ]; then
    until token=$(busybox wget -q -T 2 -O - "http://$manager/token"); do sleep 0.5; done
    until docker swarm join --token "$token" "$manager:2377"; do sleep 0.5; done
    exit
fi
docker swarm init --advertise-addr "$manager"
mkdir -p /run/www
docker swarm join-token -q worker >/run/www/token.new
mv /run/www/token.new /run/www/token
busybox httpd -h /run/www
# The engine's own socket: its command line costs a second for every question under software emulation.
until [ "$(curl -s --unix-socket /run/docker.sock http://engine/nodes | grep -o '"State":"ready"' | wc -l)" = "$machines" ]; do
    sleep 0.5
done
echo naive-join-is-ready >/dev/ttyS0
