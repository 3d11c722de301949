"""Where runs and images lie: any pyarrow filesystem, the run directory, its manifests."""
