"""Early stopping: when a Trial that runs is not worth its time. One file a method."""
