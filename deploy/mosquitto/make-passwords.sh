#!/bin/sh
# In: MQTT_GATEWAY_PASSWORD, MQTT_SIMULATOR_PASSWORD and a file. Out: the file with both users, hashed. Other users stay.
set -eu

file=$1
: "${MQTT_GATEWAY_PASSWORD:?is not set}" "${MQTT_SIMULATOR_PASSWORD:?is not set}"

umask 077
draft=$file.new
trap 'rm -f "$draft"' EXIT
# Through a file and not as arguments, which every user of the host could read in its list of processes.
printf 'gateway:%s\nsimulator:%s\n' "$MQTT_GATEWAY_PASSWORD" "$MQTT_SIMULATOR_PASSWORD" >"$draft"
mosquitto_passwd -U "$draft"
if [ -f "$file" ]; then
    grep -v -e '^gateway:' -e '^simulator:' "$file" >>"$draft" || [ $? -eq 1 ]
fi
if [ "$(id -u)" -eq 0 ]; then
    chown mosquitto:mosquitto "$draft"
fi
mv "$draft" "$file"
