"""The theory as plain Python: spaces, blocks, the life cycle, and what each strategy answers.

It imports nothing of the other rooms and no native code; everything else is built on it, and is checked
against it.
"""
