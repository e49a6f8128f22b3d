"""The guard: one object that reads what is asked before a policy does, and what it answers before anybody else does.

`guard.Guard` decides, `lexical` and `scored` tell how risky a text is, `thresholds` finds where to draw the line and
says what it promises, `grounding` gives the safe answers, `folder` keeps it all, `fitting` and `__main__` make and
measure it. How it is used: `training.core.generate` (before people see answers), `training.core.chat` (the serving
endpoint and chats), and `training.core.scoring` (as a scorer). `drift` keeps a detector of jailbreaks up with those
that come, `monitor` finds those that it misses.
"""
