"""What any service needs: settings, errors, time, tasks. Imports nothing of ours."""
