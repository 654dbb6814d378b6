"""Choosing endpoints: the language of endpoint filters, MongoDB's query documents over a small view of an endpoint.

The view has two fields: `application_version`, a string, and `metadata`, an array of `{key, value}` pairs. Beside the
pairs metadata can be asked for by name; these say the same:

    {"metadata": {"$elemMatch": {"key": "location", "value.floor": {"$gte": 3}}}}
    {"metadata.location.floor": {"$gte": 3}}

`$and $or $nor` combine; `$eq $ne $gt $gte $lt $lte $in $nin $exists $regex` (with `$options` of i, m and s) and
`$elemMatch` test a value, `$not` negates such tests. Nothing else is taken; there is no `$where`.

What holds, as in MongoDB:

- Nothing there is like null: `{"metadata.a": null}` finds endpoints without `a`, too, and `$gte` and `$lte` null find
  the same ones. `$exists` tells absence from null. `$ne`, `$nin` and `$not` are true of what is not there.
- An array passes if any of its elements does (or the array as a whole, for `$eq` and `$in`), and each test of
  `{"$gt": 1, "$lt": 5}` may be passed by another element; `$elemMatch` wants one that passes all. A path goes through
  arrays of objects likewise, and a number in it is a position.
- Comparisons stay within a type: a number is neither greater nor less than a string. True is not 1, but 1.0 is 1, and
  integers are exact, however large. Strings are in the order of their code points.

What does not: objects are equal whatever the order of their members; `$gt` and its like take no arrays and objects;
`metadata.key` and `metadata.value` are the metadata of these names, not the halves of the pairs.

A regular expression is RE2's, which takes time in proportion to the text and has no backreferences and no lookaround,
so none that a stranger writes can hang the process; it looks at the first 4,096 characters of a string.
"""

from .conditions import Query
from .reading import parse
from .regex import compile_regex

__all__ = ["Query", "compile_regex", "parse"]
