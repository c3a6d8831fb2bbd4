"""What several optimizers use.

spaces            the axes they search, and the rule by which every search starts
decoupled         decoupled weight decay: which parameters decay, and the step that does it
decoupled_torch   the same step as a torch optimizer to subclass, and Adam's direction
found_rate        the decay of rules that find their rate themselves; _torch: their step as a torch optimizer
newton_schulz     the orthogonal matrix near a given one
orthogonal        Muon's direction of hidden matrices, and AdamW for all others; _torch: as a torch optimizer
hyperball         matrices that keep their norm; _torch: their step as a torch optimizer
rows              rows of even size
blocks, stacks    matrices cut into blocks; in jax, blocks of one shape as one batch
copies            names of copies of an optimizer, `adamw~2`
"""
