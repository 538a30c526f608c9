"""The viewer: a store as web pages, and a run as one file.

Data flows one way: `reading` (SQL) and `columns` (a run's scores as arrays), through `jobs` where
it takes longer than a page may, into a frozen value for each page (`listing`, `runs`, `samples`,
`pairs`, `trainings`, `measurements`), which `app` gives to a template. `report` writes the same
values into one file. Nothing here writes to a store.
"""
