"""The course: one question per chapter, one command, one page to look at, one exercise that is graded.

    python -m lessons            # the chapters
    python -m lessons 0          # run chapter 0's experiment and write its page
    python -m lessons check 0    # grade lessons/c00_what_it_does/exercise.py

Read plain_step.py (CycleGAN in one sitting) and points.py (the plane in which it trains within seconds) first. A chapter
is a folder: lesson.md (text), experiment.py (what is shown), exercise.py (what is to be filled in), check.py (how that is
graded); lessons/solutions/ holds one answer to each. Run from the repository's root; nothing here is installed.
"""
