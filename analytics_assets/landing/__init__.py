"""Landing: files that people drop into folders become the first tables, as a declaration.

Belongs here: names, formats, headers and fields of files; which are new; which rows count; what
becomes of those that do not.
Does not belong here: a word of any domain; what is computed from what has landed.
"""
