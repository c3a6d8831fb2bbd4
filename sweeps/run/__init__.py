"""Running trials: the driver, Ray, and what a sweep costs."""
