from django.db import migrations

# What may change in an event: whoever it was about may be deleted (their keys become NULL) or erased (the target, where
# it is a name, becomes empty or a pseudonym). Nothing else, and no row is deleted.
POSTGRES = """
CREATE OR REPLACE FUNCTION annotation_event_append_only() RETURNS trigger AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.id = OLD.id AND NEW.action = OLD.action AND NEW.detail::text = OLD.detail::text
        AND NEW.created_at = OLD.created_at
        AND (NEW.actor_id IS NULL OR NEW.actor_id = OLD.actor_id)
        AND (NEW.campaign_id IS NULL OR NEW.campaign_id = OLD.campaign_id)
        AND (NEW.target = OLD.target OR NEW.target = '' OR NEW.target LIKE 'p-%')
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'annotation_event is append-only' USING ERRCODE = 'integrity_constraint_violation';
END
$$ LANGUAGE plpgsql;
CREATE TRIGGER annotation_event_append_only BEFORE UPDATE OR DELETE ON annotation_event
    FOR EACH ROW EXECUTE FUNCTION annotation_event_append_only();
"""
POSTGRES_BACK = """
DROP TRIGGER annotation_event_append_only ON annotation_event;
DROP FUNCTION annotation_event_append_only();
"""
SQLITE = [
    """
    CREATE TRIGGER annotation_event_no_update BEFORE UPDATE ON annotation_event
    WHEN NOT (NEW.id = OLD.id AND NEW.action = OLD.action AND NEW.detail = OLD.detail
        AND NEW.created_at = OLD.created_at
        AND (NEW.actor_id IS NULL OR NEW.actor_id IS OLD.actor_id)
        AND (NEW.campaign_id IS NULL OR NEW.campaign_id IS OLD.campaign_id)
        AND (NEW.target = OLD.target OR NEW.target = '' OR NEW.target LIKE 'p-%'))
    BEGIN SELECT RAISE(ABORT, 'annotation_event is append-only'); END
    """,
    """
    CREATE TRIGGER annotation_event_no_delete BEFORE DELETE ON annotation_event
    BEGIN SELECT RAISE(ABORT, 'annotation_event is append-only'); END
    """,
]
SQLITE_BACK = ["DROP TRIGGER annotation_event_no_update", "DROP TRIGGER annotation_event_no_delete"]


def protect(apps, schema_editor):
    _run(schema_editor.connection, POSTGRES, SQLITE)


def unprotect(apps, schema_editor):
    _run(schema_editor.connection, POSTGRES_BACK, SQLITE_BACK)


def _run(connection, postgres, sqlite):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(postgres)
        elif connection.vendor == "sqlite":
            for statement in sqlite:
                cursor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0012_give_old_tokens_all_scopes"),
    ]

    operations = [
        migrations.RunPython(protect, unprotect),
    ]
