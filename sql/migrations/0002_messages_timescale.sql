-- Where TimescaleDB can be had the messages are a hypertable; elsewhere an ordinary table. {chunk_hours} is database.chunk_hours.
do $$
begin
    if exists (select from pg_available_extensions where name = 'timescaledb') then
        -- Not preloaded, "create extension" would cut the connection. The loader alone defines this parameter.
        if current_setting('timescaledb.disable_load', true) is null then
            raise exception 'TimescaleDB is installed on this server but not loaded'
                using hint = 'Set shared_preload_libraries = ''timescaledb'' and restart PostgreSQL, or uninstall it.';
        end if;
        create extension if not exists timescaledb;
        perform create_hypertable('messages', by_range('time', interval '{chunk_hours} hours'), create_default_indexes => false);
    end if;
end $$;

create unique index messages_key on messages (device_id, shape_id, time);
