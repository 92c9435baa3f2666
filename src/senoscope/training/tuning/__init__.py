"""Search for hyper-parameters: Optuna studies, with Grey Wolf and Parrot samplers of our own."""
