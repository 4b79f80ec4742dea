"""ClickHouse: connecting, migrations, cube tables, views and the SQL files under sql/."""
