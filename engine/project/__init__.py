"""The project folder: index, labels and caches; no torch, since the window reads it too.

``store.Project`` is the way in. ``labels`` changes what the user decided, ``segments`` and
``thumbnails`` hold pixels, ``lock`` says who may write.
"""
