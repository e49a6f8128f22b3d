"""British order, without the words a.m. and p.m., which a table has no room for. The short one leaves out the year."""

DATE_FORMAT = "j M Y"
DATETIME_FORMAT = "j M Y H:i"
SHORT_DATETIME_FORMAT = "j M H:i"
TIME_FORMAT = "H:i"
