"""What the tests of the MQTT door share: a scripted intake, a publisher, a broker that follows a script."""
