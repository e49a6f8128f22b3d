"""A full stop after the day, as German ordinals have it. The short one leaves out the year."""

DATE_FORMAT = "j. N Y"
DATETIME_FORMAT = "j. N Y, H:i"
SHORT_DATETIME_FORMAT = "j. N, H:i"
TIME_FORMAT = "H:i"
