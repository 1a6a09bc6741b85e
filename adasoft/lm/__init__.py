"""Language models with any softmax of this package: settings, bodies, training with exact resume, records.

=====================  =====================================================================================
``settings.py``        what is trained, and how; the clusters, model and optimizer that follow from it
``models.py``          embedding, recurrent or Transformer body, softmax
``generation.py``      words drawn, the most probable, beam search; caches of attention
``run.py``             ``Run``: steps, evaluation, exact resume
``launch.py``          ``train``: a run from start to end in its folder, and its record
``evaluation.py``      nats of each token, perplexity, loss by rank
``progress.py``        how far a run has come
``clock.py``           where the time of a step goes
``generators.py``      random numbers of a run's own
``run_checkpoint.py``  what a run keeps in its checkpoints, checked field by field
``checkpoint.py``      the file of a checkpoint: written whole, with its checksum
``run_records.py``     stored records of runs, checked field by field
=====================  =====================================================================================
"""
