"""A full stop after the day, as German ordinals have it. The short one leaves out the year."""

DATE_FORMAT = "j. M Y"
DATETIME_FORMAT = "j. M Y, H:i"
SHORT_DATETIME_FORMAT = "j. M, H:i"
TIME_FORMAT = "H:i"
