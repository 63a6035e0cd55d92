"""Who is told of alarms: by mail and by webhook, on schedules, and in digests where many come."""
